"""The sample gRPC service of the local stack for clients of every kind, through both edges."""

from collections import Counter
from typing import Any

import grpc
import httpx
import pytest

from apps.protos import info_pb2, info_pb2_grpc
from tests.e2e.driver import Stack
from tests.e2e.sight import growth
from tests.grpc_frames import framed, frames

pytestmark = pytest.mark.e2e

SERVICE = "mesh.info.v1.Info"
METHOD = f"cluster.grpc-1.grpc.{SERVICE}.Get"


def over_http1(stack: Stack, url: str, method: str, message: Any, kind: str = "application/grpc") -> httpx.Response:
    with stack.client(url, http2=False) as client:
        return client.post(f"/{SERVICE}/{method}", content=framed(message), headers={"content-type": kind})


def test_json_is_asked_and_answered(stack: Stack, urls: list[str]) -> None:
    """Acceptance 97, 98, 99; fields without a value are left out."""
    for url in urls:
        with stack.client(url) as client:
            answer = client.get("/grpc-1/v1/info")
            assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
            body = answer.json()
            assert body["service"] == "grpc-1"
            assert [node.split("/")[1] for node in body["via"]] == ["edge", "grpc-1"]
            assert "databaseVersion" not in body
            watched = client.get("/grpc-1/v1/info:watch?count=2&interval_ms=1")
            assert watched.status_code == 200
            assert [item["sequence"] for item in watched.json()] == [1, 2]
            refused = client.get("/grpc-1/v1/info:watch?count=1000")
            assert refused.status_code == 400
            assert refused.json()["code"] == grpc.StatusCode.INVALID_ARGUMENT.value[0]
            assert refused.json()["message"]
            wrong = client.get("/grpc-1/v1/info:watch?count=many")
            assert (wrong.status_code, "count" in wrong.text) == (400, True)
            broken = client.post(f"/grpc-1/{SERVICE}/Nothing", content="{", headers={"content-type": "application/json"})
            assert broken.status_code == 404


def test_grpc_passes_over_http1_and_from_browsers(stack: Stack, urls: list[str]) -> None:
    """Acceptance 94, 95, 101."""
    for url in urls:
        answer = over_http1(stack, url, "Get", info_pb2.InfoRequest())
        assert (answer.http_version, answer.status_code, answer.headers["grpc-status"]) == ("HTTP/1.1", 200, "0")
        [(flag, data)] = frames(answer.content)
        assert (flag, info_pb2.InfoReply.FromString(data).service) == (0, "grpc-1")
        assert over_http1(stack, url, "Nothing", info_pb2.InfoRequest()).headers["grpc-status"] == "12"
        web = over_http1(stack, url, "Get", info_pb2.InfoRequest(), "application/grpc-web+proto")
        assert web.status_code == 200
        (flag, data), (trailer, status) = frames(web.content)
        assert (flag, info_pb2.InfoReply.FromString(data).service, trailer) == (0, "grpc-1", 0x80)
        assert b"grpc-status:0\r\n" in status
        refused = over_http1(stack, url, "Watch", info_pb2.WatchRequest(count=1000), "application/grpc-web+proto")
        assert (refused.status_code, refused.headers["grpc-status"]) == (200, "3")


def test_calls_of_one_channel_are_balanced_and_counted(stack: Stack, urls: list[str], edges: list[str]) -> None:
    """Acceptance 104."""
    names = [f"{METHOD}.{name}" for name in ("0", "success", "failure", "total")]
    address = urls[0].removeprefix("https://")
    with growth(edges, *names) as counted, grpc.secure_channel(address, grpc.ssl_channel_credentials(stack.ca.read_bytes())) as channel:
        call = info_pb2_grpc.InfoStub(channel).Get
        answers = Counter(call(info_pb2.InfoRequest(), timeout=10).instance_id for _ in range(10))
    assert sorted(answers.values()) == [5, 5]
    assert list(counted.values()) == [10, 10, 0, 10]
