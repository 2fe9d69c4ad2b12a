"""AWS in a process of its own: moto's state is one a process, so a server that a whole session shares cannot be in the tests'."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path

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
