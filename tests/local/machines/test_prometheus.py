"""Where the Prometheus binary comes from."""

import asyncio
from pathlib import Path

import pytest

from local.machines import prometheus
from local.tool_cache import CACHE_VARIABLE


@pytest.fixture(autouse=True)
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The binary in a cache of our own, and a PATH without one."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return program(tmp_path / "cache/prometheus/usr/bin/prometheus")


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.touch(mode=0o755)
    return path


def test_a_prometheus_on_the_path_is_taken_first(tmp_path: Path) -> None:
    found = program(tmp_path / "bin/prometheus")
    assert asyncio.run(prometheus.binary()) == found


def test_debian_s_package_is_next(cached: Path) -> None:
    assert asyncio.run(prometheus.binary()) == cached
