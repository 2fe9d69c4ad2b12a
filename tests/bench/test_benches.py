"""Each bench works, with so few requests that its times mean nothing: none of them is looked at."""

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.load import Generator
from local.machines.debian_package import NotToBeHad

REPO = Path(__file__).resolve().parents[2]
WHOLE = ["bare front proxy", "full edge", "full edge + sidecar", "bare edge + sidecar, mutual TLS between"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(660)]


@pytest.fixture(scope="module", autouse=True)
def h2load() -> None:
    try:
        asyncio.run(Generator.found())
    except NotToBeHad as error:
        pytest.skip(f"optional: {error}")


def run(*words: str, seconds: float = 240) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", *words], cwd=REPO, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("protocol", [[], ["--http2"], ["--connections", "32"]])
def test_every_contender_of_the_data_path_answers_all_and_is_compared(protocol: list[str]) -> None:
    words = ["--starts", "1", "--rounds", "1", "--requests", "160", "--rate", "160", *protocol]
    rows = {row["name"]: row for row in run("bench.data_path", "--json", *words)["contenders"]}
    assert set(WHOLE) <= set(rows)
    assert len(rows) > 20
    for name, row in rows.items():
        assert row["answered"] == (320 if "p99_ms" in row else 160), name
        assert row["against"] in rows
        assert row["cpu_us"] >= row["cpu_us_least"] > 0
        assert row["per_second"] > 0
    assert all(0 < rows[name]["p50_ms"] <= rows[name]["p99_ms"] for name in WHOLE)
    assert rows["bare front proxy"]["cpu_ratio"] == 1


def test_envoys_become_ready_and_show_few_series() -> None:
    rows = run("bench.start", "--json", "--rounds", "2")
    assert set(rows) == {"sidecar", "edge"}
    for row in rows.values():
        assert 0 < row["ready_ms"] <= row["ready_ms_worst"]
        assert row["ready_cpu_ms"] > 0
        assert row["rss_mb"] > 20
        assert 30 < row["series"] <= 300


@pytest.mark.parametrize("api", ["delta", "sotw"])
def test_every_proxy_hears_of_every_push(api: str) -> None:
    check_pushes(run("bench.xds_push", "--json", "--streams", "20", "--rounds", "2", "--api", api), servers=1)


def test_pushes_are_compared_with_those_of_go_control_plane() -> None:
    if shutil.which("go") is None:
        pytest.skip("optional: go is not on PATH; it builds go-control-plane")
    check_pushes(run("bench.xds_push", "--json", "--streams", "20", "--rounds", "2", "--beside", seconds=600), servers=3)


def check_pushes(result: dict[str, Any], *, servers: int) -> None:
    assert len(result) == servers
    for figures in result.values():
        assert figures["cpu_ms_per_push"] > 0
        assert 0 < figures["last_client_ms"] <= figures["last_client_worst_ms"]
        assert figures["rss_mb"] > 5


def test_a_bench_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    run("bench.start", "--json", "--rounds", "1")
    assert list(tmp_path.iterdir()) == []
    running = [" ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"])]
    assert not [words for words in running if str(tmp_path) in words]
