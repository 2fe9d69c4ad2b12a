"""CSRF: a route refuses requests that change something when they come from a page of another origin."""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from envoy.config.core.v3.base_pb2 import RuntimeFractionalPercent
from envoy.extensions.filters.http.csrf.v3.csrf_pb2 import CsrfPolicy
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from envoy.type.v3.percent_pb2 import FractionalPercent
from google.protobuf.message import Message

from apps.control_plane.model import World
from apps.control_plane.resources.feature import Feature
from apps.control_plane.resources.protos import pack
from model.edge import RouteSpec

NAME = "envoy.filters.http.csrf"


class Csrf(Feature):
    """POST, PUT, DELETE and PATCH need an `origin` or `referer` that is the route's own host or one of `origins`."""

    def filters(self, world: World) -> Iterable[HttpFilter]:
        services = world.spec.services.values()
        if any(route.csrf for service in services for route in service.edge_routes.values()):
            yield HttpFilter(name=NAME, typed_config=pack(CsrfPolicy(filter_enabled=_share(0))))

    def of_route(self, world: World, service: str, route: RouteSpec) -> Mapping[str, Message]:
        if route.csrf is None:
            return {}
        enforced = route.csrf.enforce
        policy = CsrfPolicy(filter_enabled=_share(100 if enforced else 0), shadow_enabled=_share(0 if enforced else 100))
        policy.additional_origins.extend(_matcher(origin) for origin in route.csrf.origins)
        return {NAME: policy}


def _matcher(origin: str) -> StringMatcher:
    """Envoy compares the host and port of an origin, without the scheme."""
    host = urlsplit(origin).netloc
    if not host.startswith("*."):
        return StringMatcher(exact=host)
    return StringMatcher(safe_regex=RegexMatcher(regex=rf"([a-z0-9-]+\.)+{re.escape(host.removeprefix('*.'))}"))


def _share(percent: int) -> RuntimeFractionalPercent:
    return RuntimeFractionalPercent(default_value=FractionalPercent(numerator=percent))
