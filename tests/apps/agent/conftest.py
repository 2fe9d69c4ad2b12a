"""A machine's directory and a moto server with what the machine may read."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from tests.servers import moto_here


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine whose file system is a directory."""
    (tmp_path / "etc/mesh/templates").mkdir(parents=True)
    return {
        "MESH_ROOT": str(tmp_path),
        "MESH_INSTANCE_ID": "i-0123",
        "MESH_ADDRESS": "127.20.1.4",
        "MESH_LOOPBACK": "127.20.1.4",
        "MESH_ZONE": "eu-central-1a",
    }


@pytest.fixture
def cloud(machine: dict[str, str]) -> Iterator[dict[str, str]]:
    """The same machine with an AWS endpoint in reach."""
    with moto_here() as url:
        yield {
            **machine,
            "AWS_ENDPOINT_URL": url,
            "AWS_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }


@pytest.fixture
def session(cloud: dict[str, str]) -> boto3.Session:
    """What a deployment would use to write into the same cloud."""
    return boto3.Session(
        aws_access_key_id=cloud["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=cloud["AWS_SECRET_ACCESS_KEY"],
        region_name=cloud["AWS_REGION"],
    )
