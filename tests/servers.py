"""AWS served by moto: in a process of its own for a whole session, since moto's state is one a process; in the tests' own for a test."""

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
_PLAIN = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("http://%s:%s" % server.get_host_and_port(), flush=True)
sys.stdin.read()
"""
_LOCAL_CLOUD = """
import sys
from ipaddress import IPv4Network
from local.cloud import Cloud
cloud = Cloud(sys.argv[1], IPv4Network(sys.argv[2]))
cloud.start()
print(cloud.url, flush=True)
sys.stdin.read()
"""


@contextmanager
def plain_moto() -> Iterator[str]:
    """URL of a moto server as it comes."""
    with _serving(_PLAIN) as url:
        yield url


@contextmanager
def moto_here() -> Iterator[str]:
    """URL of a moto server in this process, empty and plain: what moto's globals hold of tests before, such as no default VPC, is gone."""
    from moto.server import ThreadedMotoServer

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        try:
            urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset", method="POST")).close()
            yield url
        finally:
            server.stop()


@contextmanager
def local_cloud(region: str, cidr: IPv4Network) -> Iterator[str]:
    """URL of a local cloud, with moto's gaps bridged."""
    with _serving(_LOCAL_CLOUD, region, str(cidr)) as url:
        yield url


@contextmanager
def _serving(program: str, *words: str) -> Iterator[str]:
    """Runs `program` until the body ends; it prints its URL and ends with its stdin."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=REPO,
    )
    assert process.stdout
    assert process.stdin
    try:
        url = process.stdout.readline().strip()
        assert url, f"the server ended with {process.wait()}"
        yield url
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()
