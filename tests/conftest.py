"""What tests need wherever they are: addresses of their own, and one booted stack for all that need a whole one."""

import time
from collections.abc import Iterator
from ipaddress import IPv4Network

import pytest

from local.stacks import own_range
from tests.e2e.driver import Stack, make_clone


@pytest.fixture(scope="session")
def loopback(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IPv4Network]:
    """A 127.x.0.0/16 that is this test process's own among all stacks, clones and workers of this machine."""
    with own_range(tmp_path_factory.mktemp("loopback")) as network:
        yield network


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack of Pulumi.local.yaml, up, and down at the end of the run."""
    root = tmp_path_factory.mktemp("e2e")
    made = Stack(clone=make_clone(root / "clone"), state=root / "state")
    started = time.monotonic()
    try:
        print(made.mesh("up").stderr)
        print(f"up from nothing: {time.monotonic() - started:.1f} s")
        yield made
    finally:
        made.mesh("down")
