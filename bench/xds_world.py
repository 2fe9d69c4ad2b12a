"""What all proxies of the bench of pushes hold: clusters, their endpoints, a listener and a route table."""

from collections.abc import Callable, Iterator
from typing import Any

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpConnectionManager
from google.protobuf.any_pb2 import Any as AnyMessage

from apps.control_plane.node import Node
from apps.control_plane.snapshot import Resource, Snapshot
from apps.control_plane.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE


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

    def change(self, turn: int) -> Resource:
        """Gives one service's first endpoint another port, and returns what became of the service's endpoints."""
        name = self.names[turn % len(self.names)]
        self._assignments[name] = Resource.of(name, self._assignment(name, turn))
        self.build()
        self._callback()
        return self._assignments[name]

    def packed(self) -> Iterator[AnyMessage]:
        """All resources, of every type."""
        for resources in self._snapshot.sets.values():
            yield from (AnyMessage.FromString(resource.payload) for resource in resources.values())

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
