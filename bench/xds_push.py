"""What one changed endpoint costs the xDS server, and when the last of N proxies has it.

    python -m bench.xds_push --streams 1000 --rounds 30 --api delta

The workload of PERFORMANCE: every proxy (one TCP connection, in another process) holds clusters, their endpoints, a listener and a
route table; one endpoint of one cluster changes. CPU is the server process's, acknowledgements included.
"""

import argparse
import asyncio
import gc
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

import psutil
import structlog
import uvloop
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpConnectionManager

from apps.control_plane.node import Node
from apps.control_plane.server import AdsServer
from apps.control_plane.snapshot import Resource, Snapshot
from apps.control_plane.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE
from bench.xds_fleet import Fleet

HOST = "127.0.0.1"
PATIENCE = 60.0
SETTLE = timedelta(milliseconds=250)
"""Between pushes, so that acknowledgements are counted with the push that they answer."""


class World:
    """Services and endpoints; a `SnapshotSource` with one snapshot for everybody."""

    def __init__(self, services: int, endpoints: int) -> None:
        self.names = tuple(f"service-{number}" for number in range(services))
        self._endpoints = endpoints
        self._assignments = {name: Resource.of(name, self._assignment(name, 0)) for name in self.names}
        self._fixed: dict[str, dict[str, Any]] = {
            CLUSTER: {name: Resource.of(name, _cluster(name)) for name in self.names},
            LISTENER: {"egress": _listener()},
            ROUTE: {"egress": _routes(self.names)},
        }
        self._callback: Callable[[], None] = lambda: None
        self.build()

    def build(self) -> None:
        self._snapshot = Snapshot.of({**self._fixed, ENDPOINT: self._assignments})

    def change(self, turn: int) -> None:
        name = self.names[turn % len(self.names)]
        self._assignments[name] = Resource.of(name, self._assignment(name, turn))
        self.build()
        self._callback()

    def snapshot_for(self, node: Node) -> Snapshot:
        return self._snapshot

    def subscribe(self, callback: Callable[[], None]) -> None:
        self._callback = callback

    def _assignment(self, name: str, turn: int) -> ClusterLoadAssignment:
        assignment = ClusterLoadAssignment(cluster_name=name)
        group = assignment.endpoints.add()
        for number in range(self._endpoints):
            address = group.lb_endpoints.add().endpoint.address.socket_address
            address.address, address.port_value = f"10.0.{number >> 8}.{number & 255}", 8000
        group.lb_endpoints[0].endpoint.address.socket_address.port_value = 8001 + turn
        return assignment


def _cluster(name: str) -> Cluster:
    cluster = Cluster(name=name, type=Cluster.EDS)
    cluster.eds_cluster_config.eds_config.ads.SetInParent()
    return cluster


def _listener() -> Listener:
    manager = HttpConnectionManager(stat_prefix="egress")
    manager.rds.route_config_name = "egress"
    manager.rds.config_source.ads.SetInParent()
    listener = Listener(name="egress")
    listener.filter_chains.add().filters.add(name="http").typed_config.Pack(manager, deterministic=True)
    return listener


def _routes(names: tuple[str, ...]) -> RouteConfiguration:
    routes = RouteConfiguration(name="egress")
    for name in names:
        host = routes.virtual_hosts.add(name=name, domains=[name])
        host.routes.add().route.cluster = name
    return routes


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


async def measure(options: argparse.Namespace) -> dict[str, float]:
    world = World(options.services, options.endpoints)
    server = AdsServer()
    port = await server.start(HOST, 0, None, world, lambda node, identity: None)
    gc.collect()
    gc.freeze()
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    held = world.names[: options.held]
    fleet = context.Process(target=run_fleet, args=(theirs, port, options.api, options.streams, held), daemon=True)
    loop = asyncio.get_running_loop()

    async def told() -> Any:
        return await loop.run_in_executor(None, pipe.recv)

    fleet.start()
    cpu = time.process_time()
    connected = await told()
    connecting = time.process_time() - cpu
    last, spent = [], []
    for turn in range(options.rounds):
        await asyncio.sleep(SETTLE.total_seconds())
        pipe.send(True)
        await told()
        cpu, began = time.process_time(), time.monotonic()
        world.change(turn % len(held) + len(world.names) * (1 + turn))
        last.append((await told() - began) * 1000)
        await asyncio.sleep(SETTLE.total_seconds())
        spent.append((time.process_time() - cpu) * 1000)
    assert len(server.nodes()) == options.streams
    rss = psutil.Process().memory_info().rss / 2**20
    pipe.send(False)
    fleet.join()
    await server.stop(timedelta(seconds=1))
    return {
        "connect_ms": connected * 1000,
        "connect_cpu_ms": connecting * 1000,
        "last_client_ms": statistics.median(last),
        "last_client_worst_ms": max(last),
        "cpu_ms_per_push": statistics.median(spent),
        "rss_mb": rss,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=1000, help="proxies connected")
    parser.add_argument("--rounds", type=int, default=20, help="pushes measured")
    parser.add_argument("--api", choices=("delta", "sotw"), default="delta")
    parser.add_argument("--services", type=int, default=20, help="clusters in the mesh")
    parser.add_argument("--endpoints", type=int, default=10, help="endpoints of each")
    parser.add_argument("--held", type=int, default=20, help="clusters whose endpoints each proxy asks for")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    result = uvloop.run(measure(options))
    print(json.dumps({**vars(options), **{name: round(value, 1) for name, value in result.items()}}))


if __name__ == "__main__":
    main()
