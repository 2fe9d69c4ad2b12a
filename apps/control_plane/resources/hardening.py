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
HOST = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
HSTS_HEADER = "strict-transport-security"
_SECONDS_A_DAY = 86_400


class PlainRequests(Feature):
    """Refuses what Envoy takes and others do not understand, before all other routes.

    A host that is none, or several, which Envoy joins by a comma. A length of 16 digits or more, which is 10 petabytes: those
    that do not fit 63 bits are an error of the connection to the sidecar, and 503s of a client's making would have the
    sidecar taken for sick.
    """

    at_outer = True

    def routes(self, world: World) -> Iterable[Route]:
        yield no_plain_host()
        yield _refusal("no plain length", HeaderMatcher(name="content-length", string_match=_all_of("[0-9]{16,}")))


def no_plain_host() -> Route:
    """Refuses a request that names no host, or more than a host and port."""
    return _refusal("no plain host", HeaderMatcher(name=":authority", string_match=_all_of(HOST), invert_match=True))


def _refusal(name: str, header: HeaderMatcher) -> Route:
    answer = DirectResponseAction(status=400, body=DataSource(inline_string="Bad Request"))
    return Route(name=name, match=RouteMatch(prefix="/", headers=[header]), direct_response=answer)


def _all_of(regex: str) -> StringMatcher:
    return StringMatcher(safe_regex=RegexMatcher(regex=regex))


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
