"""Where the Prometheus binary comes from."""

import asyncio
from pathlib import Path

import pytest

from local import debian_package
from local.machines import prometheus


def program(directory: Path, name: str, script: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty PATH and an empty cache."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv(debian_package.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "bin"


def test_a_prometheus_on_the_path_is_taken_first(tools: Path, tmp_path: Path) -> None:
    program(tmp_path / "cache/prometheus/usr/bin", "prometheus", "true")
    found = program(tools, "prometheus", "true")
    assert asyncio.run(prometheus.binary()) == found


def test_the_cache_is_next(tools: Path, tmp_path: Path) -> None:
    cached = program(tmp_path / "cache/prometheus/usr/bin", "prometheus", "true")
    assert asyncio.run(prometheus.binary()) == cached


def test_debian_s_package_is_unpacked_into_the_cache(tools: Path, tmp_path: Path) -> None:
    program(tools, "apt-get", ": > prometheus_2.42.deb")
    program(tools, "dpkg", "/bin/mkdir -p usr/bin; : > usr/bin/prometheus")
    assert asyncio.run(prometheus.binary()) == tmp_path / "cache/prometheus/usr/bin/prometheus"
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["prometheus"]


def test_without_any_source_the_reason_is_told(tools: Path) -> None:
    with pytest.raises(debian_package.NotToBeHad, match="not on PATH, and there is no apt-get"):
        asyncio.run(prometheus.binary())


def test_a_failed_download_is_told_and_leaves_nothing(tools: Path, tmp_path: Path) -> None:
    program(tools, "apt-get", "echo 'E: Unable to locate package prometheus'; exit 100")
    program(tools, "dpkg", "true")
    with pytest.raises(debian_package.NotToBeHad, match=r"`apt-get -q .* update` fails: E: Unable to locate package"):
        asyncio.run(prometheus.binary())
    assert list((tmp_path / "cache").iterdir()) == []
