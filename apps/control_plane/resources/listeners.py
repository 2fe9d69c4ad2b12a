"""Listeners: what each role accepts, where, and what it does with it."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from envoy.config.core.v3.base_pb2 import TrafficDirection
from envoy.config.core.v3.socket_option_pb2 import SocketOption
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain, FilterChainMatch, ListenerFilter
from envoy.config.listener.v3.listener_pb2 import AdditionalAddress, Listener
from envoy.extensions.filters.listener.tls_inspector.v3.tls_inspector_pb2 import TlsInspector
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from google.protobuf.wrappers_pb2 import UInt32Value

from apps.control_plane.resources import access_log, health, http, names, origin, tls
from apps.control_plane.resources.facts import MachineFacts
from apps.control_plane.resources.protos import BUFFER_BYTES, address, pack, seconds
from apps.control_plane.resources.routes import redirect
from model.contract import EGRESS_PORT, INGRESS_PORT, ORIGIN_PORT, POSTGRES_PORT

_TLS_HANDSHAKE_SECONDS = 10
_TLS_HELLO_SECONDS = 5
_CONNECT_ATTEMPTS = 3
_SLOW_READER = SocketOption(
    description="TCP_USER_TIMEOUT in ms: a client whose window stays shut is cut off; connections inherit it",
    level=6,
    name=18,
    int_value=30_000,
    state=SocketOption.STATE_LISTENING,
)
"""Linux's numbers, since the edge's machine is Linux whatever this runs on."""


def edge_https(
    facts: MachineFacts,
    port: int,
    http_filters: Sequence[HttpFilter] = (),
    own_headers: Iterable[str] = (),
    certificates: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Listener:
    """What clients of the mesh reach; `http_filters` run before the router, `own_headers` are no client's to send.

    `certificates` are secrets' names with the domains for which clients get them by SNI; all others get the default one.
    """
    manager = http.edge(names.EDGE_HTTPS, names.EDGE_ROUTES, facts.node, http_filters, own_headers)
    listener = _public(names.EDGE_HTTPS, facts, port, [http.network_filter(manager)])
    listener.filter_chains[0].transport_socket.CopyFrom(tls.downstream(names.EDGE_SECRET))
    for secret, domains in certificates.items():
        chain = FilterChain(name=secret, filters=listener.filter_chains[0].filters, transport_socket=tls.downstream(secret))
        chain.filter_chain_match.CopyFrom(FilterChainMatch(server_names=domains))
        listener.filter_chains.append(chain)
    for chain in listener.filter_chains:
        chain.transport_socket_connect_timeout.CopyFrom(seconds(_TLS_HANDSHAKE_SECONDS))
    listener.listener_filters.append(ListenerFilter(name="envoy.filters.listener.tls_inspector", typed_config=pack(TlsInspector())))
    listener.listener_filters_timeout.CopyFrom(seconds(_TLS_HELLO_SECONDS))
    return listener


def edge_origin(
    facts: MachineFacts, outer: Iterable[str], http_filters: Sequence[HttpFilter], own_headers: Iterable[str] = ()
) -> Listener:
    """What outer edges reach, by mutual TLS; `outer` are their SPIFFE ids. Clients' connections do not use up its own."""
    filters = [health.answer(origin.HEALTH_PATH), *http_filters]
    manager = http.origin(names.EDGE_ORIGIN, names.EDGE_ROUTES, facts.node, filters, own_headers)
    listener = _listener(names.EDGE_ORIGIN, facts.address, ORIGIN_PORT, TrafficDirection.INBOUND, [http.network_filter(manager)])
    listener.filter_chains[0].transport_socket.CopyFrom(tls.from_peers(outer))
    listener.filter_chains[0].transport_socket_connect_timeout.CopyFrom(seconds(_TLS_HANDSHAKE_SECONDS))
    listener.socket_options.append(_SLOW_READER)
    listener.ignore_global_conn_limit = True
    return listener


def edge_http(facts: MachineFacts, port: int, https_port: int) -> Listener:
    """Redirects; its routes are in place, since they never change without the listener."""
    manager = http.redirect(names.EDGE_HTTP)
    manager.route_config.CopyFrom(redirect(https_port))
    return _public(names.EDGE_HTTP, facts, port, [http.network_filter(manager)])


def ingress(facts: MachineFacts, protocol: str) -> Listener:
    """What the mesh sends to the app beside; a TCP service's bytes pass as they are."""
    if protocol == "tcp":
        filters = [_tcp_proxy(names.INGRESS, names.APP)]
    else:
        filters = [http.network_filter(http.ingress(names.INGRESS, names.INGRESS_ROUTES, facts.node))]
    return _listener(names.INGRESS, facts.address, INGRESS_PORT, TrafficDirection.INBOUND, filters)


def egress(facts: MachineFacts) -> Listener:
    """What the app beside calls, by authority."""
    manager = http.sidecar(names.EGRESS, names.EGRESS_ROUTES, facts.node)
    return _listener(names.EGRESS, facts.loopback, EGRESS_PORT, TrafficDirection.OUTBOUND, [http.network_filter(manager)])


def tcp_egress(facts: MachineFacts, service: str, port: int) -> Listener:
    """A TCP service that the app beside calls: on loopback, at the service's own port."""
    name = names.tcp_egress(service)
    return _listener(name, facts.loopback, port, TrafficDirection.OUTBOUND, [_tcp_proxy(service, service)])


def postgres_egress(facts: MachineFacts) -> Listener:
    """Postgres as the app beside sees it."""
    filters = [_tcp_proxy(names.POSTGRES, names.POSTGRES)]
    return _listener(names.POSTGRES, facts.loopback, POSTGRES_PORT, TrafficDirection.OUTBOUND, filters)


def postgres_ingress(facts: MachineFacts, decoders: Sequence[Filter] = ()) -> Listener:
    """Postgres as the mesh sees it; `decoders` read the protocol on its way to the server."""
    filters = [*decoders, _tcp_proxy(names.POSTGRES, names.APP)]
    return _listener(names.POSTGRES, facts.address, POSTGRES_PORT, TrafficDirection.INBOUND, filters)


def _public(name: str, facts: MachineFacts, port: int, filters: Sequence[Filter]) -> Listener:
    listener = _listener(name, facts.address, port, TrafficDirection.INBOUND, filters)
    listener.socket_options.append(_SLOW_READER)
    listener.additional_addresses.extend(AdditionalAddress(address=address(public, port)) for public in facts.public)
    return listener


def _listener(name: str, host: str, port: int, direction: "TrafficDirection.ValueType", filters: Sequence[Filter]) -> Listener:
    return Listener(
        name=name,
        # Statistics take what stands before the first dot for the listener's name.
        stat_prefix=name.replace(".", "-"),
        address=address(host, port),
        traffic_direction=direction,
        per_connection_buffer_limit_bytes=UInt32Value(value=BUFFER_BYTES),
        filter_chains=[FilterChain(name=name, filters=filters)],
    )


def _tcp_proxy(stat_prefix: str, cluster: str) -> Filter:
    proxy = TcpProxy(
        stat_prefix=stat_prefix,
        cluster=cluster,
        max_connect_attempts=UInt32Value(value=_CONNECT_ATTEMPTS),
        access_log=[access_log.of_connections()],
    )
    return Filter(name="envoy.filters.network.tcp_proxy", typed_config=pack(proxy))
