"""The built-in token issuer behind the edge: its route, its cluster, and login pages at whichever address a browser uses."""

from collections.abc import Iterable, Mapping

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import DataSource
from envoy.config.route.v3.route_components_pb2 import FilterConfig, Route, RouteAction, RouteMatch
from envoy.extensions.filters.http.lua.v3.lua_pb2 import Lua
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.type.matcher.v3.regex_pb2 import RegexMatchAndSubstitute, RegexMatcher
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from apps.control_plane.model import World
from apps.control_plane.resources import clusters, names, retries
from apps.control_plane.resources.feature import Feature
from apps.control_plane.resources.protos import pack, seconds
from model.contract import IDENTITY_PREFIX
from model.edge import RouteSpec
from model.identity import is_builtin, issuer_url

NAME = "mesh.login_page"
TIMEOUT_SECONDS = 15.0
_SAME_HOST = """
function envoy_on_response(response)
  local location, page = response:headers():get("location"), "{page}"
  if location and location:sub(1, #page) == page then
    response:headers():replace("location", "{path}" .. location:sub(#page + 1))
  end
end
"""


class Identity(Feature):
    """`/identity` leads to the issuer.

    A redirect to its login page names no host, so that a browser stays at the address where it began: the issuer's own
    URL is below the mesh's domain, which need not resolve.
    """

    def filters(self, world: World) -> Iterable[HttpFilter]:
        if _has_login(world):
            path = f"{IDENTITY_PREFIX}/authorize"
            page = f"{issuer_url(world.spec).removesuffix(IDENTITY_PREFIX)}{path}"
            source = _SAME_HOST.replace("{page}", page).replace("{path}", path)
            yield HttpFilter(name=NAME, typed_config=pack(Lua(default_source_code=DataSource(inline_string=source))), disabled=True)

    def of_route(self, world: World, service: str, route: RouteSpec) -> Mapping[str, Message]:
        return {NAME: FilterConfig(config=Any(), disabled=False)} if route.auth == "login" and _has_login(world) else {}

    def routes(self, world: World) -> Iterable[Route]:
        if is_builtin(world.spec):
            strip = RegexMatchAndSubstitute(pattern=RegexMatcher(regex=f"^{IDENTITY_PREFIX}/?"), substitution="/")
            action = RouteAction(
                cluster=names.IDENTITY, regex_rewrite=strip, timeout=seconds(TIMEOUT_SECONDS), retry_policy=retries.once()
            )
            yield Route(name=names.IDENTITY, match=RouteMatch(path_separated_prefix=IDENTITY_PREFIX), route=action)

    def clusters(self, world: World) -> Iterable[Cluster]:
        if is_builtin(world.spec):
            yield clusters.of_identity()


def _has_login(world: World) -> bool:
    return is_builtin(world.spec) and world.spec.edge.auth is not None and world.spec.edge.auth.login is not None
