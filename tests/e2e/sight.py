"""What a stack's Envoys and Prometheus say of themselves."""

import contextlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

import httpx

from model.contract import ADMIN_PORT, EGRESS_PORT, METRICS_PORT, PROMETHEUS_PORT
from tests.e2e.driver import Stack

_SAMPLE = re.compile(r"^(?P<name>[a-z_]+)\{(?P<labels>.*)\} (?P<value>[0-9.e+]+)$")


def metrics(address: str) -> str:
    """The text that Prometheus scrapes from an Envoy."""
    response = httpx.get(f"http://{address}:{METRICS_PORT}/stats/prometheus", trust_env=False)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")
    return response.text


def total(address: str, name: str, **labels: str) -> float:
    """Sum of an Envoy's samples of one name with these labels (label names without their `envoy_` prefix)."""
    found = 0.0
    for line in metrics(address).splitlines():
        match = _SAMPLE.match(line)
        if match and match["name"] == name and all(f'envoy_{key}="{value}"' in match["labels"] for key, value in labels.items()):
            found += float(match["value"])
    return found


def requests_in(address: str, side: str) -> float:
    """Requests that a sidecar took on one side: `ingress` or `egress`."""
    return total(address, "envoy_http_downstream_rq_total", http_conn_manager_prefix=side)


def statistics(address: str) -> dict[str, int]:
    """An Envoy's counters and gauges by their own names, as its admin port lists them."""
    lines = httpx.get(f"http://{address}:{ADMIN_PORT}/stats", trust_env=False).text.splitlines()
    pairs = (line.split(": ", 1) for line in lines)
    return {name: int(value) for name, value in pairs if value.isdigit()}


@contextlib.contextmanager
def growth(machines: Iterable[str], *names: str) -> Iterator[dict[str, int]]:
    """By how much counters of these machines' Envoys, all together, grow during the body; filled in at its end."""

    def now() -> list[int]:
        seen = [statistics(address) for address in machines]
        return [sum(one.get(name, 0) for one in seen) for name in names]

    before, grown = now(), dict.fromkeys(names, 0)
    yield grown
    grown.update({name: after - then for name, after, then in zip(names, now(), before, strict=True)})


def addresses(stack: Stack, service: str) -> list[str]:
    return [one["address"] for one in stack.machines() if one["service"] == service]


def through_sidecar(address: str, authority: str, path: str = "/") -> httpx.Response:
    """A request as the app on this machine would make it."""
    return httpx.get(f"http://{address}:{EGRESS_PORT}{path}", headers={"host": authority}, trust_env=False)


def targets(stack: Stack) -> dict[str, str]:
    """Scrape URL → `up` or `down` of every active target of the stack's Prometheus."""
    (monitor,) = addresses(stack, "monitoring")
    return targets_of(monitor)


def targets_of(monitor: str) -> dict[str, str]:
    """The same, of the Prometheus at this address."""
    answer = httpx.get(f"http://{monitor}:{PROMETHEUS_PORT}/api/v1/targets", params={"state": "active"}, trust_env=False)
    found: list[dict[str, Any]] = answer.json()["data"]["activeTargets"]
    return {target["scrapeUrl"].split("?")[0]: target["health"] for target in found}


def envoy_targets(machines: Iterable[dict[str, str]]) -> set[str]:
    """The scrape URLs that the Envoys of these machines have."""
    with_envoy = {"edge", "outer-edge", "service", "database"}
    return {f"http://{one['address']}:{METRICS_PORT}/stats/prometheus" for one in machines if one["role"] in with_envoy}
