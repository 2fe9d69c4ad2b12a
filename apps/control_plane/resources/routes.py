"""Route configurations: the edge by path, a sidecar's egress by authority, its ingress to the one app."""

import re
from collections.abc import Iterable, Sequence
from datetime import timedelta

from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.config.route.v3.route_components_pb2 import (
    DirectResponseAction,
    HeaderMatcher,
    RedirectAction,
    RetryPolicy,
    Route,
    RouteAction,
    RouteMatch,
    VirtualHost,
)
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.type.matcher.v3.regex_pb2 import RegexMatchAndSubstitute, RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher

from apps.control_plane.model import World
from apps.control_plane.resources import bridge, http, names, retries, websocket
from apps.control_plane.resources.feature import Feature
from apps.control_plane.resources.features import FEATURES, OUTER_FEATURES
from apps.control_plane.resources.hardening import no_plain_host
from apps.control_plane.resources.maintenance import open_to_all
from apps.control_plane.resources.origin import towards
from apps.control_plane.resources.protos import duration, pack, seconds, set_header
from model.edge import RouteSpec
from model.spec import MeshSpec, ServiceSpec

DEFAULT_TIMEOUT_SECONDS = 15.0
"""Of a call to a service that has no route of its own to say otherwise."""
PREFIX_HEADER = "x-forwarded-prefix"
HTTP_PORT = 80
HTTPS_PORT = 443

_NO_TIMEOUT = timedelta(0)
_GRPC_IDLE_TIMEOUT = timedelta(hours=1)


def edge(world: World) -> RouteConfiguration:
    """What clients may ask for, and which service answers."""
    return _table(world, FEATURES, outer=False)


def outer(world: World) -> RouteConfiguration:
    """The same for an outer edge: what its own features do not answer, the origin does."""
    return _table(world, OUTER_FEATURES, outer=True)


def _table(world: World, features: Sequence[Feature], *, outer: bool) -> RouteConfiguration:
    """For every host the features' own routes, then longest prefix first; a path that no route has is answered 404.

    A domain that routes name has its own and those that name none; its own win where the prefixes are the same.
    """
    services = world.spec.services.items()
    routed = [
        (path, route, name, found)
        for name, service in services
        for route in service.edge_routes.values()
        for path, found in _edge_routes(world, route, name)
    ]
    routed.sort(key=lambda item: (-len(item[0]), item[0], not item[1].domains))
    hosts = {"*": VirtualHost(name="mesh", domains=["*"])}
    for domain in sorted({domain for _, route, _, _ in routed for domain in route.domains}):
        hosts[domain] = VirtualHost(name=domain, domains=[domain])
    for host in hosts.values():
        for feature in FEATURES:
            host.routes.extend(towards(own) if outer and feature not in features else own for own in feature.routes(world))
    for _, route, service, found in routed:
        built = towards(found) if outer else found
        _apply_features(features, world, service, route, built)
        for domain in route.domains or hosts:
            hosts[domain].routes.append(built)
    return RouteConfiguration(name=names.EDGE_ROUTES, virtual_hosts=hosts.values(), ignore_port_in_host_matching=True)


def redirect(https_port: int) -> RouteConfiguration:
    """Everything to the same host and path over TLS; the port is named where a browser would not assume it."""
    action = RedirectAction(
        https_redirect=True,
        port_redirect=0 if https_port == HTTPS_PORT else https_port,
        response_code=RedirectAction.MOVED_PERMANENTLY,
    )
    routes = [no_plain_host(), Route(match=RouteMatch(prefix="/"), redirect=action)]
    host = VirtualHost(name="redirect", domains=["*"], routes=routes)
    return RouteConfiguration(name=names.EDGE_HTTP, virtual_hosts=[host])


def ingress(service: ServiceSpec) -> RouteConfiguration:
    """All to the app, for as long as the caller waits: time limits are the caller's."""
    action = RouteAction(cluster=names.APP, timeout=duration(_NO_TIMEOUT), retry_policy=retries.to_app())
    if service.protocol == "grpc":
        action.idle_timeout.CopyFrom(duration(_GRPC_IDLE_TIMEOUT))
    if any(route.websocket for route in service.routes):
        websocket.allow(action)
    limit = HeaderValueOption(
        header=HeaderValue(key=http.TIMEOUT_HEADER, value=f"%REQ({http.CARRIED_TIMEOUT_HEADER})%"),
        append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )
    route = Route(name=names.APP, match=RouteMatch(prefix="/"), route=action, request_headers_to_add=[limit])
    # A virtual host's changes come after its routes'.
    host = VirtualHost(name=names.APP, domains=["*"], routes=[route], request_headers_to_remove=[http.CARRIED_TIMEOUT_HEADER])
    return RouteConfiguration(name=names.INGRESS_ROUTES, virtual_hosts=[host])


def egress(spec: MeshSpec, callees: Iterable[str]) -> RouteConfiguration:
    """`<name>` and `<name>.<domain>`, whatever the port, for the services that the app may call; 404 for all else."""
    hosts = [
        VirtualHost(name=name, domains=[name, f"{name}.{spec.domain}"], routes=list(_egress_routes(name, spec.services[name])))
        for name in callees
    ]
    return RouteConfiguration(name=names.EGRESS_ROUTES, virtual_hosts=hosts, ignore_port_in_host_matching=True)


def _edge_routes(world: World, route: RouteSpec, service: str) -> Iterable[tuple[str, Route]]:
    """Each with the path by whose length it is placed among all."""
    described = world.spec.services[service]
    if described.bridge is None:
        for built in (*_no_metrics(route, service, described.metrics), *_http_routes(route, service)):
            yield route.prefix, built
    elif service in world.descriptors:
        yield from bridge.routes(service, described.bridge, world.descriptors[service])


def _no_metrics(route: RouteSpec, service: str, path: str | None) -> Iterable[Route]:
    """The app's metrics are for the mesh's own Prometheus, which does not come by the edge."""
    if path is None or path == "/":
        return
    if route.strip and route.prefix != "/":
        path = f"{route.prefix}{path}"
    if path.startswith(route.prefix):
        answer = DirectResponseAction(status=404)
        yield Route(name=f"{service}:metrics", match=RouteMatch(path_separated_prefix=path), direct_response=answer)


def _http_routes(route: RouteSpec, service: str) -> Iterable[Route]:
    root = route.prefix == "/"
    for idempotent in (True, False):
        match = RouteMatch(prefix="/") if root else RouteMatch(path_separated_prefix=route.prefix)
        result = _to_service(match, service, seconds_allowed=route.timeout, idempotent=idempotent)
        result.name = f"{service}:{route.prefix}"
        if route.strip and not root:
            # A prefix_rewrite to `/` would turn `/prefix/info` into `//info`.
            pattern = RegexMatcher(regex=f"^{re.escape(route.prefix)}/?")
            result.route.regex_rewrite.CopyFrom(RegexMatchAndSubstitute(pattern=pattern, substitution="/"))
            result.request_headers_to_add.append(set_header(PREFIX_HEADER, route.prefix))
        else:
            result.request_headers_to_remove.append(PREFIX_HEADER)
        if route.websocket and idempotent:
            yield websocket.upgrades_of(result)
        yield result


def _apply_features(features: Sequence[Feature], world: World, service: str, route: RouteSpec, built: Route) -> None:
    route = open_to_all(route)
    for feature in features:
        for name, config in feature.of_route(world, service, route).items():
            built.typed_per_filter_config[name].CopyFrom(pack(config))
        feature.change_route(world, service, route, built)


def _egress_routes(name: str, service: ServiceSpec) -> Iterable[Route]:
    match = RouteMatch(prefix="/")
    if service.protocol == "grpc":
        # Deadlines are the client's own (`grpc-timeout`); a stream without one may last.
        action = RouteAction(
            cluster=name,
            timeout=duration(_NO_TIMEOUT),
            idle_timeout=duration(_GRPC_IDLE_TIMEOUT),
            max_stream_duration=RouteAction.MaxStreamDuration(grpc_timeout_header_max=duration(_NO_TIMEOUT)),
            retry_policy=retries.once(),
        )
        yield Route(name=name, match=match, route=action)
        return
    allowed = max((route.timeout for route in service.routes), default=DEFAULT_TIMEOUT_SECONDS)
    for idempotent in (True, False):
        result = _to_service(match, name, seconds_allowed=allowed, idempotent=idempotent)
        result.name = name
        yield result


def _to_service(match: RouteMatch, service: str, *, seconds_allowed: float, idempotent: bool) -> Route:
    policy: RetryPolicy = retries.idempotent() if idempotent else retries.once()
    route = Route(match=match, route=RouteAction(cluster=service, timeout=seconds(seconds_allowed), retry_policy=policy))
    if idempotent:
        methods = RegexMatcher(regex="|".join(retries.IDEMPOTENT_METHODS))
        route.match.headers.append(HeaderMatcher(name=":method", string_match=StringMatcher(safe_regex=methods)))
    return route
