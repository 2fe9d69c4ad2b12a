"""Changes what the control plane built for a sidecar: what it does beside routing is taken off, mutual TLS is put on.

The mesh has no mutual TLS between sidecars yet. Here it is what edges have among each other, with the machines' own keys.
"""

from pathlib import Path
from typing import cast

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpConnectionManager

from apps.control_plane import type_urls
from apps.control_plane.build import Resources
from apps.control_plane.resources import names, secrets, tls
from bench.small_mesh import DOMAIN, SERVICE, Change
from bench.without import change_managers
from model.contract import Role, spiffe_id


def only_routing(resources: Resources) -> None:
    """No log, `via`, time limit carried over, count of gRPC's answers, or retries: HTTP/2 in, a route, HTTP/1.1 out."""

    def change(manager: HttpConnectionManager) -> None:
        for name in ("access_log", "early_header_mutation_extensions", "forward_client_cert_details"):
            manager.ClearField(name)
        del manager.http_filters[:-1]

    change_managers(_listener(resources), change)
    for host in cast(RouteConfiguration, resources[type_urls.ROUTE][names.INGRESS_ROUTES]).virtual_hosts:
        del host.request_headers_to_remove[:]
        for route in host.routes:
            del route.request_headers_to_add[:]
            route.route.ClearField("retry_policy")


def accepting_edges(keys: Path) -> Change:
    """The sidecar's side of mutual TLS; `keys` is the directory of its machine's."""

    def change(resources: Resources) -> None:
        for chain in _listener(resources).filter_chains:
            chain.transport_socket.CopyFrom(tls.from_peers([spiffe_id(DOMAIN, Role.EDGE, "edge")]))
        _add_secrets(resources, keys)

    return change


def reached_by_edges(keys: Path) -> Change:
    """The edge's side of it."""

    def change(resources: Resources) -> None:
        cluster = cast(Cluster, resources[type_urls.CLUSTER][SERVICE])
        cluster.transport_socket.CopyFrom(tls.to_peer(spiffe_id(DOMAIN, Role.SERVICE, SERVICE)))
        _add_secrets(resources, keys)

    return change


def _listener(resources: Resources) -> Listener:
    return cast(Listener, resources[type_urls.LISTENER][names.INGRESS])


def _add_secrets(resources: Resources, keys: Path) -> None:
    resources[type_urls.SECRET] = {**resources.get(type_urls.SECRET, {}), **{one.name: one for one in secrets.of_machine(str(keys))}}
