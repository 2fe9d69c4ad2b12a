"""gRPC services for clients of the edge: JSON, gRPC-Web, gRPC over HTTP/1.1 and native gRPC, all on the one port.

JSON and gRPC-Web are below the bridge's prefix; native gRPC is also at its own paths, `/<package.Service>/`, since its
clients know no prefix. The filters are off but on these routes.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from envoy.config.route.v3.route_components_pb2 import FilterConfig, Route, RouteAction, RouteMatch
from envoy.extensions.filters.http.grpc_http1_bridge.v3.config_pb2 import Config as Http1Bridge
from envoy.extensions.filters.http.grpc_json_transcoder.v3.transcoder_pb2 import GrpcJsonTranscoder
from envoy.extensions.filters.http.grpc_stats.v3.config_pb2 import FilterConfig as GrpcStats
from envoy.extensions.filters.http.grpc_web.v3.grpc_web_pb2 import GrpcWeb
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.type.matcher.v3.regex_pb2 import RegexMatchAndSubstitute, RegexMatcher
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from apps.control_plane.model import World
from apps.control_plane.resources import retries
from apps.control_plane.resources.feature import Feature
from apps.control_plane.resources.protos import duration, pack, seconds, set_header
from model import http_rules
from model.edge import BridgeSpec, RouteSpec

HTTP1_NAME = "envoy.filters.http.grpc_http1_bridge"
WEB_NAME = "envoy.filters.http.grpc_web"
JSON_NAME = "envoy.filters.http.grpc_json_transcoder"
STATS_NAME = "envoy.filters.http.grpc_stats"
JSON_BYTES = 1024 * 1024
"""Largest JSON request, and largest message of an answer, that is transcoded: Envoy holds each in memory."""

_NONE = timedelta(0)
_ON = FilterConfig(config=Any(), disabled=False)


class Http1(Feature):
    """gRPC over HTTP/1.1, where the client's connection ends: between edges a request is HTTP/2, which this filter leaves alone.

    It takes for gRPC whatever says so, hence it comes before the filters that make a request say so.
    """

    at_outer = True

    def filters(self, world: World) -> Iterable[HttpFilter]:
        if _has_bridges(world):
            yield _off(HTTP1_NAME, Http1Bridge())

    def of_route(self, world: World, service: str, route: RouteSpec) -> Mapping[str, Message]:
        return {HTTP1_NAME: _ON} if world.spec.services[service].bridge else {}


class Web(Feature):
    """gRPC-Web; before whatever may refuse, so that a refusal is put into the words of its clients."""

    def filters(self, world: World) -> Iterable[HttpFilter]:
        if _has_bridges(world):
            yield _off(WEB_NAME, GrpcWeb())


class Json(Feature):
    """JSON, and statistics by method."""

    def filters(self, world: World) -> Iterable[HttpFilter]:
        if _has_bridges(world):
            yield _off(JSON_NAME, GrpcJsonTranscoder(proto_descriptor_bin=b""))
            yield _off(STATS_NAME, GrpcStats(stats_for_all_methods=BoolValue(value=True)))


def routes(service: str, spec: BridgeSpec, descriptors: bytes) -> Iterable[tuple[str, Route]]:
    """The native paths and the prefix, each with its route."""
    offered = http_rules.services_of(descriptors)
    for path in http_rules.native_paths(descriptors):
        yield path, _route(f"{service}:{path}", RouteMatch(prefix=f"{path}/"), service, spec)
    below = _route(f"{service}:{spec.prefix}", RouteMatch(path_separated_prefix=spec.prefix), service, spec)
    # What was JSON has its native path already when this is applied.
    pattern = RegexMatcher(regex=f"^{spec.prefix.replace('.', '[.]')}/")
    below.route.regex_rewrite.CopyFrom(RegexMatchAndSubstitute(pattern=pattern, substitution="/"))
    transcoder = _transcoder(offered, http_rules.below(spec.prefix, descriptors))
    below.typed_per_filter_config[JSON_NAME].CopyFrom(pack(transcoder))
    yield spec.prefix, below


def _route(name: str, match: RouteMatch, service: str, spec: BridgeSpec) -> Route:
    action = RouteAction(
        cluster=service,
        timeout=duration(_NONE),
        max_stream_duration=RouteAction.MaxStreamDuration(
            max_stream_duration=seconds(spec.timeout), grpc_timeout_header_max=duration(_NONE)
        ),
        retry_policy=retries.once(),
    )
    # Python's gRPC server resets what comes without it, and HTTP/1.1 clients cannot send it.
    route = Route(name=name, match=match, route=action, request_headers_to_add=[set_header("te", "trailers")])
    for filter_name in (WEB_NAME, STATS_NAME):
        route.typed_per_filter_config[filter_name].CopyFrom(pack(_ON))
    return route


def _transcoder(offered: Iterable[str], descriptors: bytes) -> GrpcJsonTranscoder:
    return GrpcJsonTranscoder(
        proto_descriptor_bin=descriptors,
        services=offered,
        match_incoming_request_route=True,
        convert_grpc_status=True,
        request_validation_options=GrpcJsonTranscoder.RequestValidationOptions(
            reject_unknown_method=True, reject_unknown_query_parameters=True, reject_binding_body_field_collisions=True
        ),
        max_request_body_size=UInt32Value(value=JSON_BYTES),
        max_response_body_size=UInt32Value(value=JSON_BYTES),
    )


def _has_bridges(world: World) -> bool:
    return any(service.bridge for service in world.spec.services.values())


def _off(name: str, config: Message) -> HttpFilter:
    return HttpFilter(name=name, typed_config=pack(config), disabled=True)
