"""CORS: scripts of other origins may call a route; preflights are answered by the edge."""

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta

from envoy.config.common.mutation_rules.v3.mutation_rules_pb2 import HeaderMutation as Mutation
from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption, RuntimeFractionalPercent
from envoy.extensions.filters.http.cors.v3.cors_pb2 import Cors as CorsFilter
from envoy.extensions.filters.http.cors.v3.cors_pb2 import CorsPolicy
from envoy.extensions.filters.http.header_mutation.v3.header_mutation_pb2 import HeaderMutationPerRoute, Mutations
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from envoy.type.v3.percent_pb2 import FractionalPercent
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BoolValue

from apps.control_plane.model import World
from apps.control_plane.resources import hardening
from apps.control_plane.resources.feature import Feature
from apps.control_plane.resources.protos import pack
from model.edge import CorsSpec, RouteSpec

NAME = "envoy.filters.http.cors"
PREFLIGHT_LIVES = timedelta(hours=1)
"""How long a browser may remember what a preflight said."""
EXPOSED = ("x-request-id", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after", "grpc-status", "grpc-message")
"""Headers of the edge's own answers that a script may read."""


class Cors(Feature):
    """Comes before whatever may refuse, so that a script can read a refusal; outer edges refuse too, and answer preflights."""

    at_outer = True

    def filters(self, world: World) -> Iterable[HttpFilter]:
        services = world.spec.services.values()
        if any(route.cors for service in services for route in service.edge_routes.values()):
            yield HttpFilter(name=NAME, typed_config=pack(CorsFilter()))

    def of_route(self, world: World, service: str, route: RouteSpec) -> Mapping[str, Message]:
        if route.cors is None:
            return {}
        return {NAME: policy(route.cors), hardening.NAME: _vary()}


def policy(spec: CorsSpec) -> CorsPolicy:
    """What a route allows to scripts."""
    return CorsPolicy(
        filter_enabled=RuntimeFractionalPercent(default_value=FractionalPercent(numerator=100)),
        allow_origin_string_match=[_matcher(origin) for origin in spec.origins],
        allow_methods=", ".join(spec.methods),
        allow_headers=", ".join(spec.headers),
        expose_headers=", ".join(EXPOSED),
        max_age=str(int(PREFLIGHT_LIVES.total_seconds())),
        allow_credentials=BoolValue(value=spec.credentials),
        # A preflight of an origin that is not allowed is answered too, with nothing allowed.
        forward_not_matching_preflights=BoolValue(value=False),
    )


def _vary() -> HeaderMutationPerRoute:
    """Tells shared caches that the answer depends on the origin, which it names, also where `*` is allowed; a service's own stays."""
    vary = HeaderValueOption(header=HeaderValue(key="vary", value="Origin"), append_action=HeaderValueOption.APPEND_IF_EXISTS_OR_ADD)
    return HeaderMutationPerRoute(mutations=Mutations(response_mutations=[Mutation(append=vary)]))


def _matcher(origin: str) -> StringMatcher:
    if origin == "*":
        return StringMatcher(safe_regex=RegexMatcher(regex=".*"))
    if "*." not in origin:
        return StringMatcher(exact=origin)
    scheme, _, rest = origin.partition("*.")
    return StringMatcher(safe_regex=RegexMatcher(regex=rf"{re.escape(scheme)}([a-z0-9-]+\.)+{re.escape(rest)}"))
