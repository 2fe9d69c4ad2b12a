"""The Prometheus binary of a local stack: on PATH, in the cache, or Debian's package unpacked into the cache."""

import asyncio
import os
import shutil
from pathlib import Path

CACHE_VARIABLE = "ENVOY_MESH_CACHE"
_download = asyncio.Lock()


class NotToBeHad(RuntimeError):
    """No Prometheus on this host; the message says what was tried."""


def cache_directory() -> Path:
    """Where tools are kept between stacks."""
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "envoy-mesh")


async def binary() -> Path:
    """Path of `prometheus`; the first call on a host may download it."""
    found = shutil.which("prometheus")
    if found:
        return Path(found)
    async with _download:
        directory = cache_directory() / "prometheus"
        cached = directory / "usr" / "bin" / "prometheus"
        if not cached.exists():
            await _unpack(directory)
        return cached


async def _unpack(directory: Path) -> None:
    """Debian's package without its installation: no root, no service started."""
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise NotToBeHad("prometheus is not on PATH, and there is no apt-get to get its package with; install prometheus")
    fresh = directory.with_name(f"prometheus.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        try:
            await _run("apt-get", "-q", "download", "prometheus", directory=fresh)
        except NotToBeHad:
            # A new machine has no package lists, and the system's are not ours to change.
            lists = _lists_of_our_own(fresh)
            await _run("apt-get", "-q", *lists, "update", directory=fresh)
            await _run("apt-get", "-q", *lists, "download", "prometheus", directory=fresh)
        packages = list(fresh.glob("prometheus_*.deb"))
        if not packages:
            raise NotToBeHad("apt-get download prometheus left no package")
        await _run("dpkg", "-x", packages[0].name, ".", directory=fresh)
        packages[0].unlink()
        shutil.rmtree(fresh / "apt", ignore_errors=True)
        shutil.rmtree(directory, ignore_errors=True)
        fresh.rename(directory)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _lists_of_our_own(directory: Path) -> list[str]:
    """Options of apt-get that keep package lists below `directory`; they go with it."""
    places = {"Dir::State::lists": directory / "apt" / "lists", "Dir::Cache": directory / "apt" / "cache"}
    for place in places.values():
        (place / "partial").mkdir(parents=True)
        (place / "archives" / "partial").mkdir(parents=True)
    return [word for name, place in places.items() for word in ("-o", f"{name}={place}")]


async def _run(*argv: str, directory: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=directory, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode != 0:
        lines = output.decode(errors="replace").strip().splitlines() or ["no output"]
        raise NotToBeHad(f"prometheus is not on PATH, and `{' '.join(argv)}` fails: {lines[-1]}; install prometheus")
