"""Headers at the edge: what browsers are told by default, what would tell too much, and which host a request may name."""

from collections.abc import Iterable

from envoy.config.common.mutation_rules.v3.mutation_rules_pb2 import HeaderMutation as Mutation
from envoy.config.core.v3.base_pb2 import DataSource, HeaderValue, HeaderValueOption
from envoy.config.route.v3.route_components_pb2 import DirectResponseAction, HeaderMatcher, Route, RouteMatch
from envoy.extensions.filters.http.header_mutation.v3.header_mutation_pb2 import HeaderMutation, Mutations
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher

from apps.control_plane.model import World
from apps.control_plane.resources.feature import Feature
from apps.control_plane.resources.protos import pack, set_header

NAME = "mesh.security_headers"
DEFAULTS = {"x-content-type-options": "nosniff", "x-frame-options": "DENY", "referrer-policy": "strict-origin-when-cross-origin"}
"""Where the app does not say it itself."""
TELLING = ("x-powered-by", "x-aspnet-version", "x-aspnetmvc-version", "x-runtime", "x-generator")
"""Products and versions behind the edge."""
HOST = r"[A-Za-z0-9._-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?"
HSTS_HEADER = "strict-transport-security"
_SECONDS_A_DAY = 86_400


class PlainHosts(Feature):
    """A request that names no host, several, or more than a host and port, is refused: Envoy joins two `host` lines by a comma."""

    at_outer = True

    def routes(self, world: World) -> Iterable[Route]:
        plain = StringMatcher(safe_regex=RegexMatcher(regex=HOST))
        match = RouteMatch(prefix="/", headers=[HeaderMatcher(name=":authority", string_match=plain, invert_match=True)])
        answer = DirectResponseAction(status=400, body=DataSource(inline_string="Bad Request"))
        yield Route(name="no plain host", match=match, direct_response=answer)


class SecurityHeaders(Feature):
    """The first filter, so that its headers are on every answer, also on refusals of the filters behind it."""

    at_outer = True

    def filters(self, world: World) -> Iterable[HttpFilter]:
        absent = HeaderValueOption.ADD_IF_ABSENT
        changes = [Mutation(remove=name) for name in TELLING]
        changes += [
            Mutation(append=HeaderValueOption(header=HeaderValue(key=key, value=value), append_action=absent))
            for key, value in DEFAULTS.items()
        ]
        if hsts := world.spec.edge.tls.hsts:
            age = int(hsts.removesuffix("d")) * _SECONDS_A_DAY
            changes.append(Mutation(append=set_header(HSTS_HEADER, f"max-age={age}")))
        config = HeaderMutation(mutations=Mutations(response_mutations=changes))
        yield HttpFilter(name=NAME, typed_config=pack(config))
