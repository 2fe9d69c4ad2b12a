"""Two edges of a mesh behind two outer ones: real Envoys with mutual TLS between them. Static config: says nothing of ADS."""

import ssl
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from model.contract import Role

CLIENT = "127.0.0.8"
REGION = "us-east-1"
OUTER = [{"region": REGION, "cidr": "10.30.0.0/16", "ami": "ami-0123456789abcdef0"}]
HTTP = {"port": 9080, "health": {"path": "/health"}}


class Double:
    """A lab of edges, outer edges and services; statistics are sums over the machines of a kind."""

    def __init__(self, lab: Any) -> None:
        self.lab = lab
        self.edges: list[str] = []
        self.outers: list[str] = []

    def add_edges(self, *, origin: int = 2, outer: int = 1) -> None:
        self.outers += [self.lab.add(Role.OUTER_EDGE, REGION) for _ in range(outer)]
        self.edges += [self.lab.add(Role.EDGE, "edge") for _ in range(origin)]

    def client(self, number: int = 0, **options: Any) -> httpx.Client:
        """Speaks HTTPS to an outer edge."""
        client: httpx.Client = self.lab.client(self.outers[number], **({"transport": self.transport()} | options))
        return client

    def transport(self, address: str = CLIENT, **options: Any) -> httpx.HTTPTransport:
        """For a client at an address of its own."""
        trust = ssl.create_default_context(cafile=str(self.lab.directory / "ca.pem"))
        return httpx.HTTPTransport(verify=trust, local_address=address, **options)

    def count(self, name: str, *addresses: str) -> int:
        """A statistic of the outer edges (default), or of the machines at `addresses`."""
        return sum(int(self.lab.statistics(address).get(name, 0)) for address in addresses or self.outers)


@pytest.fixture(scope="module")
def double_of(spec_of: Any, lab_of: Any) -> Callable[..., Double]:
    def make(edge: dict[str, Any] | None = None, **services: Any) -> Double:
        return Double(lab_of(spec_of(edge={"https": 8443, "http": 8080, "outer": OUTER, **(edge or {})}, **services)))

    return make


@pytest.fixture
def fresh() -> Iterator[Callable[[Double], httpx.Client]]:
    """A client of the first outer edge, and apps that have seen nothing and behave."""
    clients: list[httpx.Client] = []

    def make(double: Double, **options: Any) -> httpx.Client:
        for app in double.lab.apps.values():
            app.seen.clear()
            app.breaks, app.status, app.delay = False, 200, 0.0
        clients.append(double.client(**options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()
