"""One booted stack for all tests that need a whole one, wherever they are."""

import time
from collections.abc import Iterator

import pytest

from tests.e2e.driver import Stack, make_clone


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
