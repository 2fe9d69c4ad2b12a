"""Maintenance: a route answers 503 by itself, to everybody; its service gets nothing."""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from envoy.config.route.v3.route_components_pb2 import Route
from envoy.extensions.filters.http.fault.v3.fault_pb2 import FaultAbort, HTTPFault
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.type.v3.percent_pb2 import FractionalPercent
from google.protobuf.message import Message

from apps.control_plane.model import World
from apps.control_plane.resources.error_pages import MAINTENANCE_STATUS
from apps.control_plane.resources.feature import Feature
from apps.control_plane.resources.protos import pack, set_header
from model.edge import RouteSpec

NAME = "envoy.filters.http.fault"
RETRY_AFTER = timedelta(minutes=1)


class Maintenance(Feature):
    """A filter answers, since Envoy's CORS filter acts only on routes that lead to a cluster; the body is the error pages'.

    It is there also while nothing is in maintenance: with a filter that comes, the listener would be replaced.
    """

    at_outer = True

    def filters(self, world: World) -> Iterable[HttpFilter]:
        yield HttpFilter(name=NAME, typed_config=pack(HTTPFault()), disabled=True)

    def of_route(self, world: World, service: str, route: RouteSpec) -> Mapping[str, Message]:
        abort = FaultAbort(http_status=MAINTENANCE_STATUS, percentage=FractionalPercent(numerator=100))
        return {NAME: HTTPFault(abort=abort)} if route.maintenance else {}

    def change_route(self, world: World, service: str, route: RouteSpec, built: Route) -> None:
        if route.maintenance:
            built.response_headers_to_add.append(set_header("retry-after", str(int(RETRY_AFTER.total_seconds()))))


def open_to_all(route: RouteSpec) -> RouteSpec:
    """A route in maintenance without what would ask who the client is, or refuse it, before it hears of the maintenance."""
    if not route.maintenance:
        return route
    return route.model_copy(
        update={"auth": "public", "require": None, "rate_limits": [], "csrf": None, "authorize": False, "websocket": False}
    )
