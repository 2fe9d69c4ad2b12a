"""A server of our own in a thread with its own loop, resources to serve, and raw clients to drive it with."""

import asyncio
import queue
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import grpc
import pytest
import uvloop
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpConnectionManager, HttpFilter
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from google.protobuf.any_pb2 import Any as AnyMessage

from apps.control_plane import type_urls
from apps.control_plane.node import Node
from apps.control_plane.server import COALESCE, AdsServer
from apps.control_plane.snapshot import Snapshot

ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
SOTW, DELTA = ADS + "StreamAggregatedResources", ADS + "DeltaAggregatedResources"
SILENCE = 0.15
PATIENCE = 5.0


class Resources:
    """Small valid resources; `weight` and `timeout` make versions."""

    @staticmethod
    def cluster(name: str, *, timeout: int = 1) -> Cluster:
        cluster = Cluster(name=name, type=Cluster.EDS)
        cluster.connect_timeout.seconds = timeout
        cluster.eds_cluster_config.eds_config.ads.SetInParent()
        cluster.eds_cluster_config.eds_config.resource_api_version = 2
        return cluster

    @staticmethod
    def endpoints(name: str, *ports: int, address: str = "127.0.0.1") -> ClusterLoadAssignment:
        assignment = ClusterLoadAssignment(cluster_name=name)
        group = assignment.endpoints.add()
        for port in ports:
            where = group.lb_endpoints.add().endpoint.address.socket_address
            where.address, where.port_value = address, port
        return assignment

    @staticmethod
    def listener(name: str, route: str, *, port: int = 10000, address: str = "127.0.0.1", prefix: str = "") -> Listener:
        manager = HttpConnectionManager(stat_prefix=prefix or name)
        manager.rds.route_config_name = route
        manager.rds.config_source.ads.SetInParent()
        manager.rds.config_source.resource_api_version = 2
        router = HttpFilter(name="envoy.filters.http.router")
        router.typed_config.Pack(Router())
        manager.http_filters.append(router)
        listener = Listener(name=name)
        listener.address.socket_address.address, listener.address.socket_address.port_value = address, port
        network_filter = listener.filter_chains.add().filters.add(name="envoy.filters.network.http_connection_manager")
        network_filter.typed_config.Pack(manager, deterministic=True)
        return listener

    @staticmethod
    def route(name: str, cluster: str, *, timeout: int = 15) -> RouteConfiguration:
        route = RouteConfiguration(name=name)
        host = route.virtual_hosts.add(name="all", domains=["*"])
        entry = host.routes.add()
        entry.match.prefix = "/"
        entry.route.cluster = cluster
        entry.route.timeout.seconds = timeout
        return route

    @classmethod
    def mesh(cls, names: tuple[str, ...] = ("service-1", "service-2"), *, version: int = 1) -> dict[str, dict[str, Any]]:
        """A consistent whole in which every resource depends on `version`."""
        return {
            type_urls.CLUSTER: {name: cls.cluster(name, timeout=version) for name in names},
            type_urls.ENDPOINT: {name: cls.endpoints(name, 8000 + version) for name in names},
            type_urls.LISTENER: {"egress": cls.listener("egress", "egress", prefix=f"v{version}")},
            type_urls.ROUTE: {"egress": cls.route("egress", names[0] if names else "none", timeout=version)},
        }


class Shelf:
    """A snapshot source that serves what a test puts on it, by node id or for every node (`*`)."""

    def __init__(self) -> None:
        self.snapshots: dict[str, Snapshot] = {}
        self._callbacks: list[Callable[[], None]] = []

    def snapshot_for(self, node: Node) -> Snapshot | None:
        return self.snapshots.get(str(node.id), self.snapshots.get("*"))

    def subscribe(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def changed(self) -> None:
        for callback in self._callbacks:
            callback()


class Loop:
    """An event loop in a thread, as `__main__` would run it."""

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        async def in_loop() -> Any:
            return function(*args)

        return self.run(in_loop())

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE)
        self.loop.close()


class Served:
    """A running server with a shelf to put snapshots on."""

    def __init__(self, **starting: Any) -> None:
        self.nacks: list[tuple[str, str, str, str]] = []
        self.loop = Loop()
        self.shelf = Shelf()
        self.server = AdsServer(on_nack=lambda node, *rest: self.nacks.append((str(node.id), *rest)), identifier="cp-test")
        tls = starting.pop("tls", None)
        authorize = starting.pop("authorize", lambda node, identity: None)
        self.address = starting.pop("address", "127.0.0.1")
        self.port: int = self.loop.run(self.server.start(self.address, 0, tls, self.shelf, authorize))

    def publish(self, resources: Mapping[str, Mapping[str, Any]], *, node: str = "*") -> Snapshot:
        snapshot = Snapshot.of(resources)

        def put() -> None:
            self.shelf.snapshots[node] = snapshot
            self.shelf.changed()

        self.loop.call(put)
        return snapshot

    def settle(self) -> None:
        """Returns when the push of what was published before is over: timers of a loop run in the order of their times."""
        self.loop.run(asyncio.sleep(COALESCE.total_seconds()))

    def nodes(self) -> Any:
        return self.loop.call(self.server.nodes)

    def watched(self) -> int:
        return int(self.loop.call(lambda: self.server.cache.watched))

    def stop(self) -> None:
        self.loop.run(self.server.stop(timedelta(seconds=1)))
        self.loop.close()


class RawStream:
    """One xDS stream of a grpcio client, driven by hand."""

    def __init__(self, channel: grpc.Channel, method: str, node: str) -> None:
        self.delta = "/Delta" in method
        self._requests: queue.Queue[Any] = queue.Queue()
        self._responses: queue.Queue[Any] = queue.Queue()
        self._node: str | None = node
        response = DeltaDiscoveryResponse if self.delta else DiscoveryResponse
        self.call = channel.stream_stream(
            method, request_serializer=lambda one: one.SerializeToString(), response_deserializer=response.FromString
        )(iter(self._requests.get, None))
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            for response in self.call:
                self._responses.put(response)
        except grpc.RpcError as error:
            self._responses.put(error)
        else:
            self._responses.put(EOFError())

    def ask(self, type_url: str, names: tuple[str, ...] = (), **fields: Any) -> None:
        """Sends a request; the first carries the node."""
        key = "resource_names_subscribe" if self.delta else "resource_names"
        error = fields.pop("error", None)
        request = (DeltaDiscoveryRequest if self.delta else DiscoveryRequest)(type_url=type_url, **{key: names}, **fields)
        if error is not None:
            request.error_detail.code, request.error_detail.message = 3, error
        if self._node is not None:
            request.node.id, self._node = self._node, None
        self._requests.put(request)

    def answer(self) -> Any:
        """The next response; raises the stream's error if it ended."""
        response = self._responses.get(timeout=PATIENCE)
        if isinstance(response, Exception):
            raise response
        return response

    def ack(self, response: Any, names: tuple[str, ...] = (), *, error: str | None = None) -> None:
        """Accepts or refuses a response; over state of the world `names` are those subscribed to."""
        if self.delta:
            self.ask(response.type_url, response_nonce=response.nonce, error=error)
        else:
            version = "" if error else response.version_info
            self.ask(response.type_url, names, version_info=version, response_nonce=response.nonce, error=error)

    def is_silent(self) -> bool:
        """Whether nothing comes for a while."""
        try:
            self._responses.put(self._responses.get(timeout=SILENCE))
        except queue.Empty:
            return True
        return False

    def close(self) -> None:
        self._requests.put(None)
        self.call.cancel()


@pytest.fixture
def make() -> type[Resources]:
    return Resources


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    running: list[Served] = []

    def start(**starting: Any) -> Served:
        running.append(Served(**starting))
        return running[-1]

    yield start
    for served in running:
        served.stop()


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve()


@pytest.fixture
def connect() -> Iterator[Callable[..., RawStream]]:
    """Opens a raw stream: `connect(served, delta=True, node=…)`; `method` overrides the ADS path."""
    channels: list[grpc.Channel] = []

    def start(
        served: Served,
        *,
        delta: bool = False,
        node: str = "service/service-1/i-1",
        method: str = "",
        channel: grpc.Channel | None = None,
        options: Sequence[tuple[str, int]] = (),
    ) -> RawStream:
        if channel is None:
            channel = grpc.insecure_channel(f"127.0.0.1:{served.port}", options=[("grpc.use_local_subchannel_pool", 1), *options])
        channels.append(channel)
        return RawStream(channel, method or (DELTA if delta else SOTW), node)

    yield start
    for channel in channels:
        channel.close()


@pytest.fixture
def free_port() -> Callable[[], int]:
    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


@pytest.fixture
def unpack() -> Callable[[Any], list[Any]]:
    """Names and versions of a response's resources: names sorted, from either API."""
    kinds = {
        type_urls.CLUSTER: Cluster,
        type_urls.ENDPOINT: ClusterLoadAssignment,
        type_urls.LISTENER: Listener,
        type_urls.ROUTE: RouteConfiguration,
    }

    def names(response: Any) -> list[str]:
        found = []
        for one in response.resources:
            if isinstance(one, AnyMessage):
                assert one.type_url == response.type_url
                message = kinds[one.type_url].FromString(one.value)
                found.append(message.cluster_name if one.type_url == type_urls.ENDPOINT else message.name)
            else:
                assert one.resource.type_url == response.type_url
                assert one.version
                found.append(one.name)
        return sorted(found)

    return names
