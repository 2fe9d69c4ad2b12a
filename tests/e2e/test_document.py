"""A mesh document that control planes refuse: nobody is hurt, and `status` says so until a good one is there."""

import json
import subprocess
from typing import Any

import pytest

from model.contract import DOCUMENT_KEY, document_version
from tests.e2e.driver import Stack, eventually

pytestmark = pytest.mark.e2e


def status(stack: Stack) -> tuple[int, dict[str, Any]]:
    """Exit code and what is said of the document."""
    words = stack.words("status", "--json")
    done = subprocess.run(words, cwd=stack.clone, env=stack.environment, capture_output=True, text=True, timeout=60, check=False)
    document: dict[str, Any] = json.loads(done.stdout)["document"]
    return done.returncode, document


def test_status_tells_of_a_refused_document_and_of_the_good_one_that_takes_its_place(stack: Stack) -> None:
    s3 = stack.aws("s3")
    (bucket,) = [one["Name"] for one in s3.list_buckets()["Buckets"]]
    good = s3.get_object(Bucket=bucket, Key=DOCUMENT_KEY)["Body"].read().decode()
    code, document = status(stack)
    assert (code, document["state"], document["deployed"]) == (0, "served", document_version(good))
    bad = json.loads(good)
    bad["mesh"]["services"]["service-1"]["port"] = "eighty"
    s3.put_object(Bucket=bucket, Key=DOCUMENT_KEY, Body=json.dumps(bad).encode())
    try:
        took = eventually(
            "both control planes are said to refuse it",
            lambda: [plane["state"] for plane in status(stack)[1]["planes"]] == ["refused", "refused"],
            seconds=10,
        )
        print(f"refusal told after {took:.1f} s")
        text = stack.mesh("status", code=3).stdout
        assert "services.service-1.port" in text
        assert "'eighty'" in text
        assert f"it serves {document_version(good)}, the last good one" in text
    finally:
        s3.put_object(Bucket=bucket, Key=DOCUMENT_KEY, Body=good.encode())
    took = eventually("the good one is said to be served", lambda: status(stack)[0] == 0, seconds=10)
    print(f"recovery told after {took:.1f} s")
