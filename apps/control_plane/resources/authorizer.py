"""An authorizer of the user's own (ext_authz over HTTP): it is asked about each request of the routes that say so."""

from collections.abc import Iterable, Mapping

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.http_uri_pb2 import HttpUri
from envoy.extensions.filters.http.ext_authz.v3.ext_authz_pb2 import (
    AuthorizationResponse,
    CheckSettings,
    ExtAuthz,
    ExtAuthzPerRoute,
    HttpService,
)
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.type.matcher.v3.string_pb2 import ListStringMatcher, StringMatcher
from envoy.type.v3.http_status_pb2 import HttpStatus
from google.protobuf.message import Message

from apps.control_plane.model import World
from apps.control_plane.resources import external
from apps.control_plane.resources.feature import Feature
from apps.control_plane.resources.protos import pack, seconds
from model.edge import AuthorizerSpec, RouteSpec

CLUSTER = "authorizer"
NAME = "envoy.filters.http.ext_authz"
SHOWN = ("cookie", "origin", "user-agent", "x-forwarded-for", "x-forwarded-proto", "x-request-id")
"""Request headers that it sees beside host, method, path and `authorization`."""


class Authorizer(Feature):
    """200 lets a request pass, with the headers that the config names; any other answer goes to the client as it is."""

    def own_headers(self, world: World) -> Iterable[str]:
        authorizer = world.spec.edge.authorizer
        return authorizer.headers if authorizer else ()

    def filters(self, world: World) -> Iterable[HttpFilter]:
        if authorizer := world.spec.edge.authorizer:
            yield HttpFilter(name=NAME, typed_config=pack(_config(authorizer)), disabled=True)

    def of_route(self, world: World, service: str, route: RouteSpec) -> Mapping[str, Message]:
        return {NAME: ExtAuthzPerRoute(check_settings=CheckSettings())} if route.authorize else {}

    def clusters(self, world: World) -> Iterable[Cluster]:
        if authorizer := world.spec.edge.authorizer:
            yield external.cluster(CLUSTER, authorizer.address, http2=False, is_local=world.spec.is_local)


def _config(authorizer: AuthorizerSpec) -> ExtAuthz:
    server = HttpUri(uri=f"http://{authorizer.address}", cluster=CLUSTER, timeout=seconds(authorizer.timeout))
    answer = AuthorizationResponse(allowed_upstream_headers=_exactly(authorizer.headers) if authorizer.headers else None)
    return ExtAuthz(
        http_service=HttpService(server_uri=server, authorization_response=answer),
        allowed_headers=_exactly(SHOWN),
        failure_mode_allow=authorizer.fail_open,
        status_on_error=HttpStatus(code=503),
    )


def _exactly(names: Iterable[str]) -> ListStringMatcher:
    return ListStringMatcher(patterns=[StringMatcher(exact=name) for name in names])
