"""From an outer edge to the mesh's own edges, its origin: the same table of routes, and who answers what.

An outer edge answers by itself what needs no service; all else goes to the origin as it came, where it is judged once.
"""

from datetime import timedelta

from envoy.config.route.v3.route_components_pb2 import Route, RouteAction

from apps.control_plane.resources import names, retries, websocket
from apps.control_plane.resources.protos import duration

HEALTH_PATH = "/healthcheck"
"""What outer edges ask each edge of the origin, over the same mutual TLS."""
IDLE = timedelta(minutes=5, seconds=15)
"""A little longer than the origin's own limit, so that the one that knows the route gives up first."""
WEBSOCKET_IDLE = websocket.IDLE + timedelta(seconds=15)

_NONE = timedelta(0)


def towards(built: Route) -> Route:
    """A route of the edge as outer edges have it: the same requests, to the origin; time limits are the origin's."""
    action = RouteAction(cluster=names.ORIGIN, timeout=duration(_NONE), idle_timeout=duration(IDLE))
    action.retry_policy.CopyFrom(retries.between_edges(built.route.retry_policy if built.HasField("route") else retries.once()))
    if built.route.upgrade_configs:
        websocket.allow(action)
        action.idle_timeout.CopyFrom(duration(WEBSOCKET_IDLE))
    return Route(name=built.name, match=built.match, route=action)
