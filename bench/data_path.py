"""What the mesh's edge costs a request, beside a bare front proxy as in Envoy's sandbox; and what each of its features costs.

    python -m bench.data_path --rounds 7 --requests 4000

All proxies are up at once and asked in turn, round by round, with the same requests: 16 connections that are kept, and one
app behind all. CPU is the proxies' own, from /proc. Ratios of medians are the result; times alone say more of the machine.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import structlog
import uvloop
from rich.console import Console
from rich.table import Table

from bench import contenders
from bench.contenders import BARE
from bench.envoys import free_range
from bench.field import Entry, field_of, keys_url
from bench.keys import Issuer
from bench.load import Generator, Load

SETTLE_SECONDS = 1.5
"""Until every worker knows which hosts are healthy."""
QUIET_SECONDS = 0.02
"""After a load, so that its last work is counted with it."""
P50, P99 = 49, 98


class WrongAnswers(RuntimeError):
    """A contender answered something but 200: what it costs would mean nothing."""


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    generator, issuer, addresses = await Generator.found(), Issuer(), free_range()
    url = keys_url(addresses)
    field = [*contenders.whole(url), *contenders.features(url), *contenders.parts()]
    compared = {BARE, *(contender.name for contender in contenders.whole(url))}
    with tempfile.TemporaryDirectory(prefix="envoy-mesh-bench-") as directory:
        async with field_of(Path(directory), field, issuer, addresses) as entries:
            await asyncio.sleep(SETTLE_SECONDS)
            for turn in range(options.rounds + 1):
                _say(f"round {turn} of {options.rounds}" if turn else "warming up")
                for entry in entries:
                    await _flat_out(generator, entry, options, counted=turn > 0)
                for entry in [entry for entry in entries if entry.name in compared and turn > 0]:
                    load = await generator.open(entry.url, entry.headers, options.rate, rate=options.rate, http2=options.http2)
                    entry.at_rate.append(_checked(entry, load))
            return {"machine": _machine(), "options": vars(options), "contenders": _results(entries)}


async def _flat_out(generator: Generator, entry: Entry, options: argparse.Namespace, *, counted: bool) -> None:
    before = entry.cpu_seconds
    load = await generator.closed(entry.url, entry.headers, options.requests, http2=options.http2)
    await asyncio.sleep(QUIET_SECONDS)
    spent = entry.cpu_seconds - before
    _checked(entry, load)
    if counted:
        entry.flat_out.append(load)
        entry.cpu.append(spent / options.requests * 1e6)


def _checked(entry: Entry, load: Load) -> Load:
    if load.failed:
        raise WrongAnswers(f"{entry.name}: {load.failed} requests were not answered 200: {dict(load.statuses)}")
    return load


def _results(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    by_name = {entry.name: entry for entry in entries}
    results = []
    for entry in entries:
        other = by_name[entry.against]
        cpu, base = statistics.median(entry.cpu), statistics.median(other.cpu)
        result = {
            "name": entry.name,
            "against": entry.against,
            "answered": sum(load.statuses[200] for load in [*entry.flat_out, *entry.at_rate]),
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
            for name, place in (("p50", P50), ("p99", P99)):
                own, others = (_median(one.at_rate, lambda load, place=place: load.percentiles[place]) for one in (entry, other))  # type: ignore[misc]
                result |= {f"{name}_ms": round(own, 2), f"{name}_ratio": round(own / others, 2)}
        results.append(result)
    return results


def _median(loads: Sequence[Load], value: Callable[[Load], float]) -> float:
    return statistics.median(value(load) for load in loads)


def _machine() -> dict[str, Any]:
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    return {"cores": os.cpu_count(), "processor": model, "kernel": platform.release(), "load_average": os.getloadavg()[0]}


def _show(result: dict[str, Any]) -> None:
    machine, options = result["machine"], result["options"]
    title = f"{machine['cores']} × {machine['processor']}; medians of {options['rounds']} rounds of {options['requests']} requests"
    whole = Table(title=f"The edge beside a bare front proxy ({title})")
    for column in ("", "CPU µs", "× bare", "× by least", "requests/s", "× bare", f"p50 ms at {options['rate']}/s", "p99 ms", "p99 × bare"):
        whole.add_column(column, justify="right" if column else "left")
    own = Table(title="What each feature costs a request, on top of the edge that no config asks for more")
    for column in ("", "CPU µs", "more µs", "×"):
        own.add_column(column, justify="right" if column else "left")
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
    parser = argparse.ArgumentParser(prog="bench.data_path", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="in which each contender is asked once")
    parser.add_argument("--requests", type=int, default=4000, help="to each contender in each round, as fast as answers come")
    parser.add_argument("--rate", type=int, default=1000, help="requests a second for the latencies, for one second")
    parser.add_argument("--http2", action="store_true", help="clients speak HTTP/2, also to the bare front proxy, instead of HTTP/1.1")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    result = uvloop.run(measure(options))
    print(json.dumps(result)) if options.json else _show(result)


if __name__ == "__main__":
    main()
