"""Maintenance: a route answers 503 by itself, to everybody; its service gets nothing."""

from datetime import timedelta

from envoy.config.core.v3.base_pb2 import DataSource
from envoy.config.route.v3.route_components_pb2 import DirectResponseAction, Route

from apps.control_plane.model import World
from apps.control_plane.resources.feature import Feature
from apps.control_plane.resources.protos import set_header
from model.edge import RouteSpec

BODY = "under maintenance\n"
RETRY_AFTER = timedelta(minutes=1)


class Maintenance(Feature):
    """Clients that want JSON or HTML get it from the error pages."""

    at_outer = True

    def change_route(self, world: World, service: str, route: RouteSpec, built: Route) -> None:
        if route.maintenance:
            built.direct_response.CopyFrom(DirectResponseAction(status=503, body=DataSource(inline_string=BODY)))
            built.response_headers_to_add.append(set_header("retry-after", str(int(RETRY_AFTER.total_seconds()))))


def open_to_all(route: RouteSpec) -> RouteSpec:
    """A route in maintenance without what would ask who the client is, or refuse it, before it hears of the maintenance."""
    if not route.maintenance:
        return route
    return route.model_copy(
        update={"auth": "public", "require": None, "rate_limits": [], "csrf": None, "authorize": False, "websocket": False}
    )
