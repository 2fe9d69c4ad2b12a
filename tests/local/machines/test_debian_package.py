"""Packages of Debian in the cache: got once, without a change to the system, and a reason where they cannot be had."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local.machines.debian_package import NotToBeHad, libraries, unpacked
from local.tool_cache import CACHE_VARIABLE

UNPACKS = '/bin/mkdir -p usr/bin; : > "usr/bin/$(/usr/bin/basename "$2" .deb)"'
"""A dpkg whose packages hold one program of the same name."""


class Tools:
    """A PATH with stand-ins for apt-get and dpkg, and an empty cache."""

    def __init__(self, directory: Path) -> None:
        self.path, self.cache, self.log = directory / "bin", directory / "cache", directory / "log"
        self.path.mkdir()

    def write(self, name: str, script: str) -> None:
        path = self.path / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.log}\n{script}\n')
        path.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    tools = Tools(tmp_path)
    monkeypatch.setenv("PATH", str(tools.path))
    monkeypatch.setenv(CACHE_VARIABLE, str(tools.cache))
    return tools


def test_a_package_is_unpacked_once(tools: Tools) -> None:
    tools.write("apt-get", ": > tool.deb")
    tools.write("dpkg", UNPACKS)
    first = asyncio.run(unpacked("tool"))
    assert first == tools.cache / "tool"
    assert [path.relative_to(first) for path in first.rglob("*")] == [Path("usr"), Path("usr/bin"), Path("usr/bin/tool")]
    calls = tools.log.read_text()
    assert asyncio.run(unpacked("tool")) == first
    assert tools.log.read_text() == calls
    assert {path.name for path in tools.cache.iterdir()} == {"tool", ".tool.lock"}


def test_threads_that_want_it_at_once_each_in_a_loop_of_its_own_get_what_one_of_them_fetches(tools: Tools) -> None:
    tools.write("apt-get", "/bin/sleep 0.3; : > tool.deb")
    tools.write("dpkg", UNPACKS)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: asyncio.run(unpacked("tool")), range(4), timeout=20))
    assert set(found) == {tools.cache / "tool"}
    assert sum(line.startswith("apt-get") for line in tools.log.read_text().splitlines()) == 1


def test_what_it_depends_on_is_unpacked_beside_it(tools: Tools) -> None:
    tools.write("apt-get", ": > apt/cache/archives/tool.deb; : > apt/cache/archives/libtool.deb")
    tools.write("dpkg", UNPACKS)
    root = asyncio.run(unpacked("tool", "other", dependencies=True))
    assert {path.name for path in (root / "usr/bin").iterdir()} == {"tool", "libtool"}
    assert "--download-only install tool other" in tools.log.read_text()


def test_its_libraries_are_found_wherever_the_packages_put_them(tmp_path: Path) -> None:
    old, new = (tmp_path / top / "x86_64-linux-gnu" for top in ("lib", "usr/lib"))
    for path in (old / "libzero.so.3", new / "libone.so.1", new / "deep/libtwo.so", new / "doc/readme"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert libraries(tmp_path) == f"{old}:{new}:{new}/deep"


def test_a_host_without_package_lists_fetches_some_of_its_own(tools: Tools) -> None:
    tools.write("apt-get", 'case "$*" in *Dir::State::lists=*) : > tool.deb ;; *) exit 100 ;; esac')
    tools.write("dpkg", UNPACKS)
    assert (asyncio.run(unpacked("tool")) / "usr/bin/tool").exists()
    calls = [line.split()[-1] for line in tools.log.read_text().splitlines()]
    assert calls[:3] == ["tool", "update", "tool"]


def test_without_any_source_the_reason_is_told(tools: Tools) -> None:
    with pytest.raises(NotToBeHad, match="tool is not on PATH, and there is no apt-get"):
        asyncio.run(unpacked("tool"))


def test_a_failed_download_is_told_and_leaves_nothing(tools: Tools) -> None:
    tools.write("apt-get", "echo 'E: Unable to locate package tool'; exit 100")
    tools.write("dpkg", "true")
    with pytest.raises(NotToBeHad, match=r"`apt-get -q .* update` fails: E: Unable to locate package"):
        asyncio.run(unpacked("tool"))
    assert [path.name for path in tools.cache.iterdir()] == [".tool.lock"]
