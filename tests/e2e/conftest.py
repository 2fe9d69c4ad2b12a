"""One booted stack for all end-to-end tests, and small ones for those that break theirs."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.driver import Stack, make_clone


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack of Pulumi.local.yaml, up; its end is checked by a test that runs last."""
    root = tmp_path_factory.mktemp("e2e")
    made = Stack(clone=make_clone(root / "clone"), state=root / "state")
    started = time.monotonic()
    try:
        print(made.mesh("up").stderr)
        print(f"up from nothing: {time.monotonic() - started:.1f} s")
        yield made
    finally:
        made.mesh("down")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Stack]:
    """Another clone with a stack of six machines, not up."""
    made = Stack(clone=make_clone(tmp_path / "clone"), state=tmp_path / "state")
    with made.edited() as mesh:
        mesh["services"] = {"service-1": {**mesh["services"]["service-1"], "calls": []}}
        mesh.pop("database")
        mesh["edge"]["instances"] = 1
        mesh["edge"].pop("auth")
        mesh["edge"].pop("outer")
    try:
        yield made
    finally:
        made.mesh("down")
