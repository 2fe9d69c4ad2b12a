"""The sample gRPC service through a real channel."""

import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from apps.protos import info_pb2, info_pb2_grpc


def test_get_names_the_machine_and_the_envoys_passed(grpc_service: str) -> None:
    with grpc.insecure_channel(grpc_service) as channel:
        reply = info_pb2_grpc.InfoStub(channel).Get(
            info_pb2.InfoRequest(), metadata=(("x-request-id", "r-1"), ("via", "1.1 service/a/i-1, 1.1 service/grpc-1/i-2"))
        )
    assert (reply.service, reply.instance_id, reply.request_id) == ("grpc-1", "i-grpc-1", "r-1")
    assert list(reply.via) == ["service/a/i-1", "service/grpc-1/i-2"]


def test_watch_streams_as_many_answers_as_asked(grpc_service: str) -> None:
    with grpc.insecure_channel(grpc_service) as channel:
        replies = list(info_pb2_grpc.InfoStub(channel).Watch(info_pb2.WatchRequest(count=4)))
    assert [reply.sequence for reply in replies] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (info_pb2.WatchRequest(count=101), "count 101 is not within 1 to 100"),
        (info_pb2.WatchRequest(interval_ms=-1), "interval_ms -1 is not within 0 to 10000"),
    ],
)
def test_watch_refuses_what_the_proto_does_not_allow(grpc_service: str, wrong: info_pb2.WatchRequest, text: str) -> None:
    with grpc.insecure_channel(grpc_service) as channel, pytest.raises(grpc.RpcError) as caught:
        list(info_pb2_grpc.InfoStub(channel).Watch(wrong))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == text


def test_the_generated_code_is_what_the_proto_gives(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    site = Path(grpc.__file__).parents[1]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", str(root), "-I", str(site)]
    outputs = [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
    subprocess.run([*command, *outputs, "apps/protos/info.proto"], cwd=root, check=True)
    for name in ("info_pb2.py", "info_pb2.pyi", "info_pb2_grpc.py"):
        assert (tmp_path / "apps/protos" / name).read_text() == (root / "apps/protos" / name).read_text()
