"""`./mesh test`: lint, types, then the tiers of tests, each with its time; one closing line for all.

A tier that collects nothing has not passed, and neither has one with a skip that does not say why it is all right:
a reason that starts with `optional:` names a tool that a machine may lack.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from cli.console import line
from cli.exits import Exit, Stop
from cli.pulumi_cli import find_pulumi
from cli.session import REPO
from local.machines import debian_package, prometheus
from local.tool_cache import cache_directory

OPTIONAL = "optional:"


@dataclass(frozen=True, kw_only=True)
class Tier:
    """A tier of tests, as pytest's `-m` selects it; `workers` of pytest-xdist, 0 for none."""

    name: str
    marker: str
    workers: int


TIERS = (
    Tier(name="unit", marker="not components and not envoy and not e2e and not slow", workers=2),
    Tier(name="components", marker="components and not envoy and not slow and not e2e", workers=2),
    Tier(name="envoy", marker="envoy and not slow and not e2e", workers=2),
    Tier(name="e2e", marker="e2e and not slow", workers=0),
)
SLOW = Tier(name="slow", marker="slow", workers=0)


@dataclass(frozen=True, kw_only=True)
class Result:
    """How one tier ended."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    complaints: tuple[str, ...] = ()
    """What makes the run fail though no test did."""


def run_checks(*, everything: bool) -> None:
    """Runs all checks, also after one failed; raises Stop if any did not pass."""
    started = time.monotonic()
    os.environ["PATH"] = os.pathsep.join([*_tools(), os.environ.get("PATH", os.defpath)])
    bad = [name for name, words in _linters() if not _passes(name, words)]
    results = {tier.name: _run(tier) for tier in (*TIERS, *([SLOW] if everything else []))}
    bad += [f"{name}: {complaint}" for name, result in results.items() for complaint in result.complaints]
    bad += [f"{name}: {result.failed} failed" for name, result in results.items() if result.failed]
    for what in bad:
        line(f"not passed: {what}")
    passed, failed, skipped = (sum(getattr(result, word) for result in results.values()) for word in ("passed", "failed", "skipped"))
    line(f"{time.monotonic() - started:.0f} s in all")
    line(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    if bad:
        raise Stop("", Exit.FAILED)


def _tools() -> list[str]:
    """Directories of the tools that tests look for on PATH; what an empty cache lacks is got first, with progress."""
    places = [str(find_pulumi(REPO, cache_directory()).path.parent)]
    try:
        places.append(str(asyncio.run(prometheus.binary()).parent))
    except debian_package.NotToBeHad as error:
        line(f"tests of Prometheus are left out: {error}")
    return places


def _linters() -> list[tuple[str, list[str]]]:
    """mypy remembers by content what it has checked, in the cache that all clones share: 1 s instead of 50 s."""
    return [("ruff", ["ruff", "check", "."]), ("mypy", ["mypy", f"--cache-dir={cache_directory() / 'mypy'}"])]


def _passes(name: str, words: list[str]) -> bool:
    started = time.monotonic()
    line(f"── {name}")
    sys.stdout.flush()
    done = subprocess.run([sys.executable, "-m", *words], cwd=REPO, check=False)
    line(f"── {name} {'passed' if done.returncode == 0 else 'did not pass'} ({time.monotonic() - started:.1f} s)")
    return done.returncode == 0


def _run(tier: Tier) -> Result:
    line(f"── tests: {tier.name}")
    sys.stdout.flush()
    with tempfile.TemporaryDirectory(prefix="envoy-mesh-test-") as directory:
        report = Path(directory) / "report.xml"
        words = ["-m", "pytest", "-m", tier.marker, f"--junitxml={report}", "-q", "-p", "no:cacheprovider", "--durations=12"]
        if tier.workers:
            # By file, so that what the tests of one share is started once.
            words += ["-n", str(min(tier.workers, os.cpu_count() or 1)), "--dist", "loadfile"]
        done = subprocess.run([sys.executable, *words], cwd=REPO, check=False)
        if not report.exists():
            return Result(complaints=(f"pytest ended with {done.returncode} before any test",))
        return read_report(ElementTree.parse(report).getroot(), done.returncode)


def read_report(report: ElementTree.Element, code: int) -> Result:
    """What pytest's JUnit report says; `code` is pytest's exit code."""
    cases = list(report.iter("testcase"))
    failed = sum(1 for case in cases if case.find("failure") is not None or case.find("error") is not None)
    skips = [(case.get("name", ""), skip.get("message", "")) for case in cases if (skip := case.find("skipped")) is not None]
    complaints = [f"{name} was skipped: {reason}" for name, reason in skips if not reason.startswith(OPTIONAL)]
    if not cases:
        complaints.append("no test was collected")
    elif code != 0 and not failed:
        complaints.append(f"pytest ended with {code}")
    return Result(passed=len(cases) - failed - len(skips), failed=failed, skipped=len(skips), complaints=tuple(complaints))
