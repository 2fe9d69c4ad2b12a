"""Programs of Debian packages without their installation: unpacked into the cache, no root, no service started."""

import asyncio
import os
import shutil
from pathlib import Path

CACHE_VARIABLE = "ENVOY_MESH_CACHE"
_alone = asyncio.Lock()


class NotToBeHad(RuntimeError):
    """A program that this host cannot get; the message says what was tried."""


class _Failed(RuntimeError):
    """One command did not work."""


def cache_directory() -> Path:
    """Where tools are kept between stacks."""
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "envoy-mesh")


async def unpacked(program: str, *packages: str) -> Path:
    """Directory below the cache with the content of `packages`, the first of which brings `program`; the first call downloads."""
    directory = cache_directory() / program
    async with _alone:
        if not (directory / "usr" / "bin" / program).exists():
            await _unpack(directory, program, packages)
    return directory


async def _unpack(directory: Path, program: str, packages: tuple[str, ...]) -> None:
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise NotToBeHad(f"{program} is not on PATH, and there is no apt-get to get its package with; install {packages[0]}")
    fresh = directory.with_name(f"{program}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        await _download(fresh, packages)
        for package in packages:
            found = _file_of(package, fresh)
            await _run("dpkg", "-x", found.name, ".", directory=fresh)
            found.unlink()
        shutil.rmtree(fresh / "apt", ignore_errors=True)
        shutil.rmtree(directory, ignore_errors=True)
        fresh.rename(directory)
    except _Failed as failure:
        raise NotToBeHad(f"{program} is not on PATH, and {failure}; install {packages[0]}") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


async def _download(directory: Path, packages: tuple[str, ...]) -> None:
    try:
        await _run("apt-get", "-q", "download", *packages, directory=directory)
    except _Failed:
        # A new machine has no package lists, and the system's are not ours to change.
        lists = _lists_of_our_own(directory)
        await _run("apt-get", "-q", *lists, "update", directory=directory)
        await _run("apt-get", "-q", *lists, "download", *packages, directory=directory)


def _file_of(package: str, directory: Path) -> Path:
    for found in directory.glob(f"{package}_*.deb"):
        return found
    raise _Failed(f"`apt-get download {package}` left no package")


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
        raise _Failed(f"`{' '.join(argv)}` fails: {lines[-1]}")
