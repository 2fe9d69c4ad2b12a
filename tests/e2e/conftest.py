"""A small stack for tests that break theirs; the shared one is in tests/conftest.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.driver import Stack, make_clone
from tests.e2e.sight import addresses


@pytest.fixture(scope="module")
def urls(stack: Stack) -> list[str]:
    """Where the edges are for clients."""
    return stack.urls


@pytest.fixture(scope="module")
def edges(stack: Stack) -> list[str]:
    """Addresses of the edges' machines."""
    return addresses(stack, "edge")


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
