"""HTTP connection managers: the edge towards the internet, a sidecar's two sides, and what they share."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from envoy.config.common.mutation_rules.v3.mutation_rules_pb2 import HeaderMutation as Mutation
from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.core.v3.protocol_pb2 import Http2ProtocolOptions, HttpProtocolOptions
from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.extensions.filters.http.grpc_stats.v3.config_pb2 import FilterConfig as GrpcStats
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
    HttpFilter,
    Rds,
)
from envoy.extensions.http.early_header_mutation.header_mutation.v3.header_mutation_pb2 import HeaderMutation
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from apps.control_plane.resources import access_log, error_pages
from apps.control_plane.resources.protos import duration, over_ads, pack
from model.contract import VIA_HEADER, NodeId

TIMEOUT_HEADER = "x-envoy-expected-rq-timeout-ms"
"""What is left of the caller's time limit."""
CARRIED_TIMEOUT_HEADER = "x-mesh-expected-rq-timeout-ms"
CLAIMED = (
    "forwarded",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
    CARRIED_TIMEOUT_HEADER,
)
"""Request headers by which a client would tell apps another address, host, path or time than the edge saw."""

_IDLE_TIMEOUT = timedelta(hours=1)
_STREAM_IDLE_TIMEOUT = timedelta(minutes=5)
_REQUEST_TIMEOUT = timedelta(minutes=5)
_REQUEST_HEADERS_TIMEOUT = timedelta(seconds=10)
_STREAM_WINDOW = 65536
_CONNECTION_WINDOW = 1048576
_EDGE_STREAMS = 100
_VIA_PROTOCOL = "1.1"


def windows() -> Http2ProtocolOptions:
    """HTTP/2 towards clients and between proxies: flow control, and extended CONNECT, which only routes for WebSocket take."""
    return Http2ProtocolOptions(
        initial_stream_window_size=UInt32Value(value=_STREAM_WINDOW),
        initial_connection_window_size=UInt32Value(value=_CONNECTION_WINDOW),
        allow_connect=True,
    )


def edge(
    stat_prefix: str, routes: str, node: NodeId, filters: Sequence[HttpFilter] = (), own_headers: Iterable[str] = ()
) -> HttpConnectionManager:
    """Towards clients that are not trusted; `filters` run in their order before the router.

    What clients send in `own_headers` is dropped before anything reads the request.
    """
    manager = _untrusted(stat_prefix)
    manager.rds.CopyFrom(Rds(route_config_name=routes, config_source=over_ads()))
    manager.http_filters.extend([*filters, _router()])
    manager.normalize_path.CopyFrom(BoolValue(value=True))
    manager.merge_slashes = True
    manager.path_with_escaped_slashes_action = HttpConnectionManager.UNESCAPE_AND_REDIRECT
    manager.early_header_mutation_extensions.append(_via(node, HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD))
    claimed = dict.fromkeys([*CLAIMED, *sorted(own_headers)])
    manager.early_header_mutation_extensions.append(_early(*(Mutation(remove=name) for name in claimed)))
    manager.always_set_request_id_in_response = True
    manager.local_reply_config.CopyFrom(error_pages.config())
    return manager


def redirect(stat_prefix: str) -> HttpConnectionManager:
    """Towards clients that speak plain HTTP and get nothing but a redirect.

    The path goes into `location` as it came: the TLS listener normalises it. The port of the Host header is taken
    off, since the redirect names the port of the TLS listener.
    """
    manager = _untrusted(stat_prefix)
    manager.http_filters.append(_router())
    manager.strip_any_host_port = True
    return manager


def sidecar(stat_prefix: str, routes: str, node: NodeId, *, filters: Sequence[HttpFilter] = ()) -> HttpConnectionManager:
    """Between the mesh and an app, either way: request ids and `x-forwarded-*` of the edge are kept."""
    manager = _manager(stat_prefix, HttpProtocolOptions(idle_timeout=duration(_IDLE_TIMEOUT)))
    manager.rds.CopyFrom(Rds(route_config_name=routes, config_source=over_ads()))
    manager.http_filters.extend([*filters, _grpc_stats(), _router()])
    manager.access_log.append(access_log.of_requests(with_health_checks=False))
    manager.early_header_mutation_extensions.append(_via(node, HeaderValueOption.APPEND_IF_EXISTS_OR_ADD))
    return manager


def ingress(stat_prefix: str, routes: str, node: NodeId) -> HttpConnectionManager:
    """A sidecar's side towards the mesh. The caller's time limit is put by, since Envoy drops it, for the route to bring back."""
    manager = sidecar(stat_prefix, routes, node)
    value = HeaderValue(key=CARRIED_TIMEOUT_HEADER, value=f"%REQ({TIMEOUT_HEADER})%")
    mutation = Mutation(append=HeaderValueOption(header=value, append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD))
    manager.early_header_mutation_extensions.append(_early(mutation))
    return manager


def network_filter(manager: HttpConnectionManager) -> Filter:
    return Filter(name="envoy.filters.network.http_connection_manager", typed_config=pack(manager))


def _untrusted(stat_prefix: str) -> HttpConnectionManager:
    manager = _manager(
        stat_prefix,
        HttpProtocolOptions(
            idle_timeout=duration(_IDLE_TIMEOUT),
            headers_with_underscores_action=HttpProtocolOptions.REJECT_REQUEST,
        ),
    )
    manager.use_remote_address.CopyFrom(BoolValue(value=True))
    manager.http2_protocol_options.max_concurrent_streams.value = _EDGE_STREAMS
    manager.request_timeout.CopyFrom(duration(_REQUEST_TIMEOUT))
    manager.request_headers_timeout.CopyFrom(duration(_REQUEST_HEADERS_TIMEOUT))
    manager.access_log.append(access_log.of_requests(with_health_checks=True))
    return manager


def _manager(stat_prefix: str, common: HttpProtocolOptions) -> HttpConnectionManager:
    return HttpConnectionManager(
        stat_prefix=stat_prefix,
        codec_type=HttpConnectionManager.AUTO,
        common_http_protocol_options=common,
        http2_protocol_options=windows(),
        stream_idle_timeout=duration(_STREAM_IDLE_TIMEOUT),
    )


def _via(node: NodeId, action: "HeaderValueOption.HeaderAppendAction.ValueType") -> TypedExtensionConfig:
    value = f"{_VIA_PROTOCOL} {node}".replace("%", "%%")
    mutation = Mutation(append=HeaderValueOption(header=HeaderValue(key=VIA_HEADER, value=value), append_action=action))
    return _early(mutation)


def _early(*mutations: Mutation) -> TypedExtensionConfig:
    """Changes of the request before Envoy reads it."""
    return TypedExtensionConfig(
        name="envoy.http.early_header_mutation.header_mutation", typed_config=pack(HeaderMutation(mutations=mutations))
    )


def _grpc_stats() -> HttpFilter:
    return HttpFilter(name="envoy.filters.http.grpc_stats", typed_config=pack(GrpcStats(stats_for_all_methods=BoolValue(value=True))))


def _router() -> HttpFilter:
    return HttpFilter(name="envoy.filters.http.router", typed_config=pack(Router()))
