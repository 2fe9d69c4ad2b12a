"""What the mesh's edge costs a request, beside a bare front proxy as in Envoy's sandbox; and what each of its features costs.

    python -m bench.data_path --starts 2 --rounds 4 --requests 3000

All proxies are up at once and asked one after the other, round by round in another order, with the same requests over
connections that are kept, and one app behind all. Of the same Envoy with the same config one process costs up to a tenth
more than another, so all are started anew a few times. CPU is the proxies' own, from /proc. Ratios of medians are the
result; times alone say more of the machine.
"""

import argparse
import asyncio
import os
import platform
import random
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import command, contenders
from bench.contenders import BARE
from bench.envoys import NotReady
from bench.field import Entry, field_of, keys_url
from bench.keys import Issuer
from bench.load import CONNECTIONS, Generator, Load, LoadFailed
from local.machines.debian_package import NotToBeHad
from local.stacks import RangesTaken, own_range

SETTLE_SECONDS = 1.5
"""Until every worker knows which hosts are healthy."""
QUIET_SECONDS = 0.02
"""After a load, so that its last work is counted with it."""
P50, P99 = 49, 98


@dataclass(kw_only=True)
class Figures:
    """What was measured of one contender."""

    against: str
    """The contender that its cost is compared with."""
    cpu: list[float] = field(default_factory=list)
    """Microseconds a request, of all its proxies."""
    flat_out: list[Load] = field(default_factory=list)
    at_rate: list[Load] = field(default_factory=list)


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="envoy-mesh-bench-") as directory, own_range(Path(directory) / "range") as network:
        compared = await _compare(options, network)
    return {"machine": _machine(), "options": vars(options), "contenders": compared}


async def _compare(options: argparse.Namespace, network: IPv4Network) -> list[dict[str, Any]]:
    generator, issuer, url = await Generator.found(connections=options.connections), Issuer(), keys_url(network)
    entrants = [*contenders.whole(url), *contenders.features(url), *contenders.parts()]
    compared = {BARE, *(contender.name for contender in contenders.whole(url))}
    figures = {name: Figures(against=against) for name, against in [(BARE, BARE), *((one.name, one.against) for one in entrants)]}
    for start in range(options.starts):
        with tempfile.TemporaryDirectory(prefix="envoy-mesh-bench-") as directory:
            async with field_of(Path(directory), entrants, issuer, network) as entries:
                await asyncio.sleep(SETTLE_SECONDS)
                for entry in entries:
                    await generator.closed(entry.url, entry.headers, options.requests // 4, http2=options.http2)
                for turn in range(options.rounds):
                    _say(f"start {start + 1} of {options.starts}, round {turn + 1} of {options.rounds}")
                    for entry in random.sample(entries, len(entries)):
                        await _flat_out(generator, entry, figures[entry.name], options)
                    for entry in [entry for entry in entries if entry.name in compared]:
                        load = await generator.open(entry.url, entry.headers, options.rate, rate=options.rate, http2=options.http2)
                        figures[entry.name].at_rate.append(load)
    return _results(figures)


async def _flat_out(generator: Generator, entry: Entry, figures: Figures, options: argparse.Namespace) -> None:
    before = entry.cpu_seconds
    load = await generator.closed(entry.url, entry.headers, options.requests, http2=options.http2)
    await asyncio.sleep(QUIET_SECONDS)
    figures.cpu.append((entry.cpu_seconds - before) / options.requests * 1e6)
    figures.flat_out.append(load)


def _results(figures: Mapping[str, Figures]) -> list[dict[str, Any]]:
    results = []
    for name, entry in figures.items():
        other = figures[entry.against]
        cpu, base = statistics.median(entry.cpu), statistics.median(other.cpu)
        result = {
            "name": name,
            "against": entry.against,
            "answered": sum(len(load.milliseconds) for load in [*entry.flat_out, *entry.at_rate]),
            "cpu_us": round(cpu, 1),
            "cpu_us_least": round(min(entry.cpu), 1),
            "more_us": round(cpu - base, 1),
            "cpu_ratio": round(cpu / base, 2),
            "cpu_ratio_least": round(min(entry.cpu) / min(other.cpu), 2),
            "per_second": round(_median(entry.flat_out, lambda load: load.per_second)),
            "per_second_ratio": round(
                _median(entry.flat_out, lambda load: load.per_second) / _median(other.flat_out, lambda load: load.per_second), 2
            ),
        }
        if entry.at_rate:
            for word, place in (("p50", P50), ("p99", P99)):
                own, others = (_median(one.at_rate, lambda load, place=place: load.percentiles[place]) for one in (entry, other))  # type: ignore[misc]
                result |= {f"{word}_ms": round(own, 2), f"{word}_ratio": round(own / others, 2)}
        results.append(result)
    return results


def _median(loads: Sequence[Load], value: Callable[[Load], float]) -> float:
    return statistics.median(value(load) for load in loads)


def _machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {"cores": os.cpu_count(), "processor": (models or ["?"])[0], "kernel": platform.release(), "load_average": os.getloadavg()[0]}


def _show(options: argparse.Namespace, result: dict[str, Any]) -> None:
    machine, load = result["machine"], f"{options.requests} requests over {options.connections} connections"
    rounds = f"{options.starts} × {options.rounds} rounds of {load}"
    whole = command.table(
        f"The edge beside a bare front proxy ({machine['cores']} × {machine['processor']}; medians of {rounds})",
        *("CPU µs", "× bare", "× by least", "requests/s", "× bare", f"p50 ms at {options.rate}/s", "p99 ms", "p99 × bare"),
    )
    own = command.table("What each feature costs a request, on top of the edge that no config asks for more", "CPU µs", "more µs", "×")
    for row in result["contenders"]:
        if "p99_ms" in row:
            words = [row[key] for key in ("cpu_us", "cpu_ratio", "cpu_ratio_least", "per_second", "per_second_ratio")]
            whole.add_row(row["name"], *map(str, [*words, row["p50_ms"], row["p99_ms"], row["p99_ratio"]]))
        elif row["against"] == BARE:
            own.add_row(row["name"], str(row["cpu_us"]), "", f"{row['cpu_ratio']} bare")
        else:
            own.add_row(row["name"], str(row["cpu_us"]), f"{row['more_us']:+}", str(row["cpu_ratio"]))
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(whole)
    console.print(own)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    words = command.parser("bench.data_path", __doc__)
    words.add_argument("--starts", type=int, default=3, help="how often all proxies are started")
    words.add_argument("--rounds", type=int, default=3, help="after each start; in a round each contender is asked once")
    words.add_argument("--requests", type=int, default=3000, help="to each contender in each round, as fast as answers come")
    words.add_argument("--connections", type=int, default=CONNECTIONS, help="each with one request at once, or four of HTTP/2")
    words.add_argument("--rate", type=int, default=1000, help="requests a second for the latencies, for one second")
    words.add_argument("--http2", action="store_true", help="clients speak HTTP/2, also to the bare front proxy, instead of HTTP/1.1")
    command.answer(words, measure, _show, refusals=(NotToBeHad, RangesTaken, NotReady, LoadFailed))


if __name__ == "__main__":
    main()
