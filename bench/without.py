"""Takes parts off what the control plane built for an edge: what always belongs to it can be measured only by its absence."""

from collections.abc import Callable
from typing import cast

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpConnectionManager

from apps.control_plane import type_urls
from apps.control_plane.build import Resources
from apps.control_plane.resources import hardening, names
from apps.control_plane.resources.protos import pack
from bench.small_mesh import SERVICE, Change


def tls(resources: Resources) -> None:
    listener = _listener(resources)
    del listener.listener_filters[:]
    for chain in listener.filter_chains:
        chain.ClearField("transport_socket")
        chain.ClearField("transport_socket_connect_timeout")


def access_log(resources: Resources) -> None:
    _change_manager(resources, lambda manager: manager.ClearField("access_log"))


def security_headers(resources: Resources) -> None:
    def change(manager: HttpConnectionManager) -> None:
        kept = [item for item in manager.http_filters if item.name != hardening.NAME]
        del manager.http_filters[:]
        manager.http_filters.extend(kept)

    _change_manager(resources, change)


def hygiene(resources: Resources) -> None:
    """What a client claims in headers, `via`, paths' normal form, error pages, request ids in answers, one plain host."""

    def change(manager: HttpConnectionManager) -> None:
        for name in ("early_header_mutation_extensions", "normalize_path", "merge_slashes", "path_with_escaped_slashes_action"):
            manager.ClearField(name)
        manager.ClearField("local_reply_config")
        manager.ClearField("always_set_request_id_in_response")

    _change_manager(resources, change)
    for host in _routes(resources).virtual_hosts:
        kept = [route for route in host.routes if not route.HasField("direct_response")]
        del host.routes[:]
        host.routes.extend(kept)


def retries(resources: Resources) -> None:
    """And circuit breakers and outlier detection."""
    for host in _routes(resources).virtual_hosts:
        for route in host.routes:
            if route.HasField("route"):
                route.route.ClearField("retry_policy")
    cluster = _cluster(resources)
    cluster.ClearField("circuit_breakers")
    cluster.ClearField("outlier_detection")


def timeouts(resources: Resources) -> None:
    def change(manager: HttpConnectionManager) -> None:
        for name in ("request_timeout", "request_headers_timeout"):
            manager.ClearField(name)

    _change_manager(resources, change)


def http2_behind(resources: Resources) -> None:
    """HTTP/1.1 between edge and sidecar."""
    _cluster(resources).ClearField("typed_extension_protocol_options")


def all_of(*changes: Change) -> Change:
    def change(resources: Resources) -> None:
        for one in changes:
            one(resources)

    return change


all_but_routing = all_of(tls, access_log, security_headers, hygiene, retries, timeouts)
"""Leaves what a front proxy does: HTTP in, routes, HTTP/2 out."""


def _listener(resources: Resources) -> Listener:
    return cast(Listener, resources[type_urls.LISTENER][names.EDGE_HTTPS])


def _routes(resources: Resources) -> RouteConfiguration:
    return cast(RouteConfiguration, resources[type_urls.ROUTE][names.EDGE_ROUTES])


def _cluster(resources: Resources) -> Cluster:
    return cast(Cluster, resources[type_urls.CLUSTER][SERVICE])


def _change_manager(resources: Resources, change: Callable[[HttpConnectionManager], None]) -> None:
    change_managers(_listener(resources), change)


def change_managers(listener: Listener, change: Callable[[HttpConnectionManager], None]) -> None:
    """Changes the HTTP connection manager of every filter chain."""
    for chain in listener.filter_chains:
        manager = HttpConnectionManager()
        chain.filters[0].typed_config.Unpack(manager)
        change(manager)
        chain.filters[0].typed_config.CopyFrom(pack(manager))
