"""Debian's packages unpacked into the cache: no root, nothing installed, no service started."""

import asyncio
import contextlib
import fcntl
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from local.tool_cache import cache_directory

_LOOK_AGAIN_SECONDS = 0.1


class NotToBeHad(RuntimeError):
    """A program that this host lacks and has no way to; the message says what was tried."""


async def unpacked(package: str, *others: str, dependencies: bool = False) -> Path:
    """The directory that stands for `/` of these packages; the first call on a host downloads them.

    With `dependencies`, everything is there that they need and that this host has not installed: see `libraries`.
    """
    directory = cache_directory() / package
    if not directory.exists():
        async with _alone(directory):
            if not directory.exists():
                await _unpack(directory, (package, *others), dependencies=dependencies)
    return directory


@contextlib.asynccontextmanager
async def _alone(directory: Path) -> AsyncIterator[None]:
    """One at a time of all tasks, threads and processes of this host: a lock that is a file (flock(2)), which ends with its holder."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with directory.with_name(f".{directory.name}.lock").open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        yield


def libraries(root: Path) -> str:
    """LD_LIBRARY_PATH for programs below the directory of `unpacked`."""
    places = {library.parent for top in ("lib", "usr/lib") for library in root.glob(f"{top}/*-linux-gnu/**/lib*.so*")}
    return os.pathsep.join(str(place) for place in sorted(places))


async def _unpack(directory: Path, packages: tuple[str, ...], *, dependencies: bool) -> None:
    name = directory.name
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise NotToBeHad(f"{name} is not on PATH, and there is no apt-get to get its package with; install {name}")
    fresh = directory.with_name(f"{name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        places = _places_of_our_own(fresh)
        wanted = (*places["cache"], *_words(packages, dependencies=dependencies))
        try:
            await _run(name, "apt-get", "-q", *wanted, directory=fresh)
        except NotToBeHad:
            # A new machine has no package lists, and the system's are not ours to change.
            await _run(name, "apt-get", "-q", *places["lists"], *places["cache"], "update", directory=fresh)
            await _run(name, "apt-get", "-q", *places["lists"], *wanted, directory=fresh)
        got = sorted({*fresh.glob("*.deb"), *fresh.glob("apt/cache/archives/*.deb")})
        if not got:
            raise NotToBeHad(f"apt-get left no package of {name}; install {name}")
        for package in got:
            await _run(name, "dpkg", "-x", str(package), ".", directory=fresh)
            package.unlink()
        shutil.rmtree(fresh / "apt", ignore_errors=True)
        fresh.rename(directory)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _words(packages: tuple[str, ...], *, dependencies: bool) -> tuple[str, ...]:
    if dependencies:
        # Nothing is installed, so no lock of the system is needed, which only root could take.
        return "-y", "-o", "Debug::NoLocking=1", "--no-install-recommends", "--download-only", "install", *packages
    return "download", *packages


def _places_of_our_own(directory: Path) -> dict[str, tuple[str, str]]:
    """Options of apt-get that keep its package lists and its downloads below `directory`; they go with it."""
    lists, cache = directory / "apt" / "lists", directory / "apt" / "cache"
    for place in (lists, cache / "archives"):
        (place / "partial").mkdir(parents=True)
    return {"lists": ("-o", f"Dir::State::lists={lists}"), "cache": ("-o", f"Dir::Cache={cache}")}


async def _run(name: str, *argv: str, directory: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=directory, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        lines = output.decode(errors="replace").strip().splitlines() or ["no output"]
        raise NotToBeHad(f"{name} is not on PATH, and `{' '.join(argv)}` fails: {lines[-1]}; install {name}")
