"""How soon an Envoy of the mesh is ready, and what it costs to have: memory, and the series that Prometheus scrapes.

    python -m bench.start --rounds 10

An edge and a service's sidecar boot from their real bootstraps, over ADS with mutual TLS. Ready is what their machines
ask: `/ready` on the metrics port. Memory and series are looked at after requests, as of an Envoy in use.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from rich.console import Console

from bench import command, front_proxy
from bench.envoys import Envoy, Envoys, NotReady, wait_until
from bench.load import Generator, LoadFailed
from bench.small_mesh import APP_PORT, DOMAIN, HTTP, HTTPS, SERVICE, SmallMesh
from local.machines.debian_package import NotToBeHad
from local.stacks import RangesTaken, own_range
from model.contract import EGRESS_PORT, INGRESS_PORT, METRICS_PORT
from tests.authority import Authority

REQUESTS = 1000
LOOK_SECONDS = 0.002
FLUSH_SECONDS = 6.0
"""Envoy shows histograms from its next flush on, which is due every five seconds."""
IMAGE = {"build": "apps/http_service"}
HEALTH = {"path": "/health"}
PARTS: dict[str, Any] = {
    "edge": {"https": HTTPS, "http": HTTP},
    "services": {
        SERVICE: {
            "image": IMAGE,
            "port": APP_PORT,
            "routes": [{"prefix": "/orders"}],
            "health": HEALTH,
            "calls": ["other", "backend", "postgres"],
        },
        "other": {"image": IMAGE, "port": APP_PORT, "health": HEALTH},
        "backend": {"image": IMAGE, "port": APP_PORT, "protocol": "grpc"},
    },
    "database": {},
}
"""As large as the mesh of the README: a service that calls HTTP, gRPC and Postgres."""


class Boot(NamedTuple):
    """From exec to ready; on a busy machine only the CPU says something of Envoy."""

    wall_ms: float
    cpu_ms: float


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    generator = await Generator.found()
    with (
        tempfile.TemporaryDirectory(prefix="envoy-mesh-bench-") as directory,
        own_range(Path(directory) / "range") as network,
        Envoys(Path(directory)) as envoys,
    ):
        mesh = SmallMesh(next(network.subnets(new_prefix=24)), Path(directory) / "mesh", Authority(DOMAIN))
        envoys.start("app", front_proxy.upstream([(mesh.service, APP_PORT)], "{}"))
        await mesh.serve(PARTS, {})
        try:
            sidecar, of_sidecars = await _boots(envoys, partial(mesh.boot_sidecar, envoys, "sidecar"), mesh.service, options.rounds)
            edge, of_edges = await _boots(envoys, partial(mesh.boot_edge, envoys, "edge"), mesh.edge, options.rounds)
            inside, outside = f"http://{mesh.service}:{INGRESS_PORT}/42", f"https://{mesh.edge}:{HTTPS}/orders/42"
            async with httpx.AsyncClient(trust_env=False, verify=False) as client:
                for envoy, url in ((sidecar, inside), (edge, outside)):
                    await wait_until(partial(_answers, client, url), envoy)
                    await generator.closed(url, {}, REQUESTS)
                # The app's own call, which meets no machine here: its statistics are there all the same.
                await client.get(f"http://{mesh.service}:{EGRESS_PORT}/", headers={"host": "other"})
                await asyncio.sleep(FLUSH_SECONDS)
                return {
                    "sidecar": _row(sidecar, of_sidecars, await _series(client, mesh.service)),
                    "edge": _row(edge, of_edges, await _series(client, mesh.edge)),
                }
        finally:
            await mesh.stop()


async def _boots(envoys: Envoys, boot: Callable[[], Envoy], address: str, rounds: int) -> tuple[Envoy, list[Boot]]:
    """Boots one after the other; returns the last, which stays, and the boots of all."""
    boots: list[Boot] = []
    while True:
        envoy = boot()
        await wait_until(partial(_is_ready, address), envoy, every=LOOK_SECONDS)
        boots.append(Boot(wall_ms=(time.monotonic() - envoy.started) * 1000, cpu_ms=envoy.cpu_seconds * 1000))
        if len(boots) == rounds:
            return envoy, boots
        envoys.end(envoy)


async def _is_ready(address: str) -> bool:
    """By the cheapest client that there is: what looks every 2 ms must not take the processor from what it waits for."""
    try:
        reader, writer = await asyncio.open_connection(address, METRICS_PORT)
    except OSError:
        return False
    try:
        writer.write(b"GET /ready HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")
        return b" 200 " in await reader.readline()
    except OSError:
        return False
    finally:
        writer.close()


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


async def _series(client: httpx.AsyncClient, address: str) -> int:
    """How many a scrape of Prometheus brings."""
    page = await client.get(f"http://{address}:{METRICS_PORT}/stats/prometheus?usedonly")
    return sum(1 for line in page.text.splitlines() if line and not line.startswith("#"))


def _row(envoy: Envoy, boots: list[Boot], series: int) -> dict[str, Any]:
    return {
        "ready_ms": round(statistics.median(boot.wall_ms for boot in boots), 1),
        "ready_ms_worst": round(max(boot.wall_ms for boot in boots), 1),
        "ready_cpu_ms": round(statistics.median(boot.cpu_ms for boot in boots), 1),
        "rss_mb": round(envoy.megabytes, 1),
        "series": series,
    }


def _show(options: argparse.Namespace, result: dict[str, Any]) -> None:
    title = f"From exec to ready, median of {options.rounds}; memory and series after {REQUESTS} requests"
    table = command.table(title, "ready ms", "worst ms", "CPU ms", "resident MB", "series")
    for name, row in result.items():
        table.add_row(name, *map(str, row.values()))
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def main() -> None:
    words = command.parser("bench.start", __doc__)
    words.add_argument("--rounds", type=int, default=10, help="boots of each")
    command.answer(words, measure, _show, refusals=(NotToBeHad, RangesTaken, NotReady, LoadFailed))


if __name__ == "__main__":
    main()
