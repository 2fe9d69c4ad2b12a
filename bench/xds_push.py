"""What one changed endpoint costs the xDS server, and when the last of N proxies has it.

    python -m bench.xds_push --streams 1000 --rounds 20 --api delta --beside

Every proxy (one TCP connection, all in another process) holds clusters, their endpoints, a listener and a route table; one
endpoint of one cluster changes. CPU is the server process's, acknowledgements included. `--beside` takes turns with the two
caches of go-control-plane, built from its Go modules when they are first asked for; then the ratios are the result.
"""

import argparse
import asyncio
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console

from apps.control_plane.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE
from bench import command
from bench.xds_fleet import Fleet
from bench.xds_servers import HOST, GoServer, OwnServer, Server, go_program
from bench.xds_world import World
from local.machines.debian_package import NotToBeHad

PATIENCE = 60.0
SETTLE = timedelta(milliseconds=250)
"""Between pushes, so that acknowledgements are counted with the push that they answer."""
OWN = "own"
GO = {"go-control-plane, snapshot cache": "snapshot", "go-control-plane, linear caches": "linear"}
Figures = dict[str, float]


def run_fleet(pipe: Connection, port: int, api: str, streams: int, names: tuple[str, ...]) -> None:
    """The other process: connects, then for each word from the pipe tells when the last client has heard."""

    async def work() -> None:
        fleet = Fleet(api, ((CLUSTER, ()), (ENDPOINT, names), (LISTENER, ()), (ROUTE, ("egress",))))
        began = time.monotonic()
        await fleet.connect(HOST, port, streams)
        pipe.send(await fleet.last_heard(within=PATIENCE) - began)
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, pipe.recv):
            fleet.expect(streams)
            pipe.send("ready")
            pipe.send(await fleet.last_heard(within=PATIENCE))

    uvloop.run(work())


async def compare(options: argparse.Namespace) -> dict[str, Figures]:
    """The figures of each server: medians of its turns."""
    program = await go_program() if options.beside else None
    turns: dict[str, list[Figures]] = {}
    with tempfile.TemporaryDirectory(prefix="envoy-mesh-bench-") as directory:
        for _ in range(options.turns):
            servers: dict[str, Server] = {OWN: OwnServer()}
            if program:
                servers |= {name: GoServer(program, cache, Path(directory)) for name, cache in GO.items()}
            for name, server in servers.items():
                turns.setdefault(name, []).append(await measure(options, server))
    return {name: _medians(figures) for name, figures in turns.items()}


async def measure(options: argparse.Namespace, server: Server) -> Figures:
    world = World(options.services, options.endpoints)
    port = await server.start(world)
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    held = world.names[: options.held]
    fleet = context.Process(target=run_fleet, args=(theirs, port, options.api, options.streams, held), daemon=True)
    loop = asyncio.get_running_loop()

    async def told() -> Any:
        return await loop.run_in_executor(None, pipe.recv)

    fleet.start()
    try:
        cpu = await server.cpu_seconds()
        connected = await told()
        connecting = await server.cpu_seconds() - cpu
        last, spent = [], []
        for turn in range(options.rounds):
            await asyncio.sleep(SETTLE.total_seconds())
            pipe.send(True)
            await told()
            cpu, began = await server.cpu_seconds(), time.monotonic()
            await server.change(turn % len(held) + len(world.names) * (1 + turn))
            last.append((await told() - began) * 1000)
            await asyncio.sleep(SETTLE.total_seconds())
            spent.append((await server.cpu_seconds() - cpu) * 1000)
        megabytes = server.process.memory_info().rss / 2**20
        pipe.send(False)
        await loop.run_in_executor(None, fleet.join)
    finally:
        fleet.kill()
        await server.stop()
    return {
        "connect_ms": connected * 1000,
        "connect_cpu_ms": connecting * 1000,
        "last_client_ms": statistics.median(last),
        "last_client_worst_ms": max(last),
        "cpu_ms_per_push": statistics.median(spent),
        "rss_mb": megabytes,
    }


def _medians(figures: list[Figures]) -> Figures:
    return {key: round(statistics.median(one[key] for one in figures), 1) for key in figures[0]}


def _show(options: argparse.Namespace, result: Mapping[str, Figures]) -> None:
    title = f"One change to {options.streams} proxies ({options.api}), medians of {options.turns} × {options.rounds}"
    table = command.table(title, "all connected ms", "CPU ms", "last client ms", "worst ms", "CPU ms a push", "resident MB")
    for name, row in result.items():
        table.add_row(name, *map(str, row.values()))
    for name in result.keys() - {OWN}:
        table.add_row(f"{OWN} × {name}", *(f"{result[OWN][key] / value:.2f}" for key, value in result[name].items()))
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def main() -> None:
    words = command.parser("bench.xds_push", __doc__)
    words.add_argument("--streams", type=int, default=1000, help="proxies connected")
    words.add_argument("--rounds", type=int, default=20, help="pushes measured in each turn")
    words.add_argument("--turns", type=int, default=1, help="of each server, one after the other")
    words.add_argument("--api", choices=("delta", "sotw"), default="delta")
    words.add_argument("--services", type=int, default=20, help="clusters in the mesh")
    words.add_argument("--endpoints", type=int, default=10, help="endpoints of each")
    words.add_argument("--held", type=int, default=20, help="clusters whose endpoints each proxy asks for")
    words.add_argument("--beside", action="store_true", help="also go-control-plane's two caches, in turns")
    command.answer(words, compare, _show, refusals=(NotToBeHad,))


if __name__ == "__main__":
    main()
