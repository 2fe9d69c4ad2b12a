"""HTTP connection managers: the edge towards the internet and towards outer edges, a sidecar's two sides, and what they share."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from envoy.config.common.mutation_rules.v3.mutation_rules_pb2 import HeaderMutation as Mutation
from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.core.v3.protocol_pb2 import Http2ProtocolOptions, HttpProtocolOptions, KeepaliveSettings
from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.grpc_stats.v3.config_pb2 import FilterConfig as GrpcStats
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
    HttpFilter,
    Rds,
)
from envoy.extensions.http.early_header_mutation.header_mutation.v3.header_mutation_pb2 import HeaderMutation
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from apps.control_plane.resources import access_log, error_pages
from apps.control_plane.resources.protos import duration, over_ads, pack
from model.contract import VIA_HEADER, NodeId

TIMEOUT_HEADER = "x-envoy-expected-rq-timeout-ms"
"""What is left of the caller's time limit."""
CARRIED_TIMEOUT_HEADER = "x-mesh-expected-rq-timeout-ms"
CLAIMED = (
    "cf-connecting-ip",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "front-end-https",
    "remote-user",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-host",
    "x-originating-ip",
    "x-real-ip",
    "x-rewrite-url",
    "x-scheme",
    "x-url-scheme",
)
CLAIMED_PREFIXES = ("x-auth-request-", "x-envoy-", "x-forwarded-", "x-mesh-", "x-original-", "x-remote-")
"""Request headers by which a client would tell apps another address, host, path, time or person than the edge saw."""

_IDLE_TIMEOUT = timedelta(hours=1)
_STREAM_IDLE_TIMEOUT = timedelta(minutes=5)
_REQUEST_TIMEOUT = timedelta(minutes=5)
_REQUEST_HEADERS_TIMEOUT = timedelta(seconds=10)
_STREAM_WINDOW = 65536
_CONNECTION_WINDOW = 1048576
_FAR_STREAM_WINDOW = 262144
_FAR_CONNECTION_WINDOW = 8388608
_FAR_STREAMS = 1000
_FAR_PING_INTERVAL = timedelta(seconds=5)
_FAR_PING_TIMEOUT = timedelta(seconds=3)
_EDGE_STREAMS = 100
_NEVER = timedelta(0)
_VIA_PROTOCOL = "1.1"


def windows() -> Http2ProtocolOptions:
    """HTTP/2 towards clients and between proxies: flow control, and extended CONNECT, which only routes for WebSocket take."""
    return Http2ProtocolOptions(
        initial_stream_window_size=UInt32Value(value=_STREAM_WINDOW),
        initial_connection_window_size=UInt32Value(value=_CONNECTION_WINDOW),
        allow_connect=True,
    )


def far_apart() -> Http2ProtocolOptions:
    """HTTP/2 between regions: few connections, each for many clients, kept by pings, with windows for round trips of 100 ms.

    A window is also what a slow reader makes a proxy hold, so a stream's is only four times that of `windows`.
    """
    options = windows()
    options.initial_stream_window_size.value = _FAR_STREAM_WINDOW
    options.initial_connection_window_size.value = _FAR_CONNECTION_WINDOW
    options.max_concurrent_streams.CopyFrom(UInt32Value(value=_FAR_STREAMS))
    options.connection_keepalive.CopyFrom(KeepaliveSettings(interval=duration(_FAR_PING_INTERVAL), timeout=duration(_FAR_PING_TIMEOUT)))
    return options


def edge(
    stat_prefix: str, routes: str, node: NodeId, filters: Sequence[HttpFilter] = (), own_headers: Iterable[str] = ()
) -> HttpConnectionManager:
    """Towards clients that are not trusted; `filters` run in their order before the router.

    What clients send in `own_headers` is dropped before anything reads the request.
    """
    manager = _untrusted(stat_prefix)
    manager.early_header_mutation_extensions.append(_via(node, HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD))
    manager.early_header_mutation_extensions.append(_early(*_without_claims(own_headers)))
    _serve(manager, routes, filters)
    return manager


def origin(
    stat_prefix: str, routes: str, node: NodeId, filters: Sequence[HttpFilter] = (), own_headers: Iterable[str] = ()
) -> HttpConnectionManager:
    """Towards outer edges: what they say of the client is believed, its request is judged as if it had come here first.

    The address, scheme, request id and `via` are the outer edge's; apps see its certificate in `x-forwarded-client-cert`.
    """
    common = HttpProtocolOptions(idle_timeout=duration(_NEVER), headers_with_underscores_action=HttpProtocolOptions.REJECT_REQUEST)
    manager = _manager(stat_prefix, common)
    manager.codec_type = HttpConnectionManager.HTTP2
    manager.http2_protocol_options.CopyFrom(far_apart())
    _bear_with_others(manager)
    manager.early_header_mutation_extensions.append(_via(node, HeaderValueOption.APPEND_IF_EXISTS_OR_ADD))
    if own_headers:
        manager.early_header_mutation_extensions.append(_early(*_removals(own_headers)))
    manager.forward_client_cert_details = HttpConnectionManager.SANITIZE_SET
    manager.set_current_client_cert_details.CopyFrom(
        HttpConnectionManager.SetCurrentClientCertDetails(subject=BoolValue(value=True), uri=True)
    )
    manager.access_log.append(access_log.of_forwarded_requests())
    _serve(manager, routes, filters)
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


def unasked(stat_prefix: str, routes: RouteConfiguration) -> HttpConnectionManager:
    """For requests of this Envoy's own, which are neither counted as a client's nor logged."""
    manager = _manager(stat_prefix, HttpProtocolOptions(idle_timeout=duration(_IDLE_TIMEOUT)))
    manager.route_config.CopyFrom(routes)
    manager.http_filters.append(_router())
    return manager


def sidecar(stat_prefix: str, routes: str, node: NodeId, *, filters: Sequence[HttpFilter] = ()) -> HttpConnectionManager:
    """Between the mesh and an app, either way: request ids and `x-forwarded-*` of the edge are kept."""
    manager = _manager(stat_prefix, HttpProtocolOptions(idle_timeout=duration(_IDLE_TIMEOUT)))
    manager.rds.CopyFrom(Rds(route_config_name=routes, config_source=over_ads()))
    manager.http_filters.extend([*filters, _grpc_stats(), _router()])
    manager.access_log.append(access_log.of_requests(with_health_checks=False))
    manager.early_header_mutation_extensions.append(_via(node, HeaderValueOption.APPEND_IF_EXISTS_OR_ADD))
    _bear_with_others(manager)
    return manager


def ingress(stat_prefix: str, routes: str, node: NodeId) -> HttpConnectionManager:
    """A sidecar's side towards the mesh. The caller's time limit is put by, since Envoy drops it, for the route to bring back."""
    manager = sidecar(stat_prefix, routes, node)
    # An edge's word of the outer edge's certificate; edges and egress listeners drop what anybody else says.
    manager.forward_client_cert_details = HttpConnectionManager.ALWAYS_FORWARD_ONLY
    value = HeaderValue(key=CARRIED_TIMEOUT_HEADER, value=f"%REQ({TIMEOUT_HEADER})%")
    mutation = Mutation(append=HeaderValueOption(header=value, append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD))
    manager.early_header_mutation_extensions.append(_early(mutation))
    return manager


def network_filter(manager: HttpConnectionManager) -> Filter:
    return Filter(name="envoy.filters.network.http_connection_manager", typed_config=pack(manager))


def _bear_with_others(manager: HttpConnectionManager) -> None:
    """A proxy's connection carries the requests of many clients: one that is no HTTP costs its own stream, not theirs."""
    manager.http2_protocol_options.override_stream_error_on_invalid_http_message.value = True


def _serve(manager: HttpConnectionManager, routes: str, filters: Sequence[HttpFilter]) -> None:
    """What an edge does with a request, whichever way it came."""
    manager.rds.CopyFrom(Rds(route_config_name=routes, config_source=over_ads()))
    manager.http_filters.extend([*filters, _router()])
    manager.normalize_path.CopyFrom(BoolValue(value=True))
    manager.merge_slashes = True
    manager.path_with_escaped_slashes_action = HttpConnectionManager.UNESCAPE_AND_REDIRECT
    manager.always_set_request_id_in_response = True
    manager.local_reply_config.CopyFrom(error_pages.config())


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


def _removals(headers: Iterable[str]) -> Iterable[Mutation]:
    return (Mutation(remove=name) for name in sorted(set(headers)))


def _without_claims(own_headers: Iterable[str]) -> Iterable[Mutation]:
    yield from _removals([*CLAIMED, *own_headers])
    for prefix in CLAIMED_PREFIXES:
        yield Mutation(remove_on_match=Mutation.RemoveOnMatch(key_matcher=StringMatcher(prefix=prefix)))


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
