"""The plugin process: it says where it serves, ends with its parent, and says what is wrong when there is no cloud."""

import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2_grpc

COMMAND = [sys.executable, "-m", "local.provider", "--moto-url"]


def test_without_a_cloud_it_says_so_and_ends() -> None:
    done = subprocess.run(
        [*COMMAND, "http://127.0.0.1:9"], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL, check=False
    )
    assert done.returncode == 3
    assert done.stderr.startswith("no moto server at http://127.0.0.1:9 (")
    assert "Traceback" not in done.stderr


@pytest.mark.components
def test_it_prints_its_port_serves_and_ends_when_its_input_closes(moto_url: str) -> None:
    process = subprocess.Popen([*COMMAND, moto_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout
    port = int(process.stdout.readline())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        assert provider_pb2_grpc.ResourceProviderStub(channel).GetPluginInfo(empty_pb2.Empty(), timeout=5).version
    process.stdin.close()
    started = time.monotonic()
    assert process.wait(5) == 0
    assert time.monotonic() - started < 2


@pytest.mark.components
def test_it_ends_when_its_parent_is_killed(moto_url: str) -> None:
    """A parent that gave it no pipe: the new parent tells."""
    program = "import subprocess, sys; p = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)"
    program += "; p.stdout.readline(); print(p.pid)"
    done = subprocess.run([sys.executable, "-c", program, *COMMAND, moto_url], capture_output=True, text=True, timeout=30, check=True)
    pid = int(done.stdout)
    deadline = time.monotonic() + 5
    while _runs(pid):
        assert time.monotonic() < deadline, f"provider {pid} outlives its parent"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
