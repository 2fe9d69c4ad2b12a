"""WebSocket: a route's upgrades pass the edge, the hop to the sidecar (HTTP/2, RFC 8441) and reach the app as HTTP/1.1.

An upgrade has a route of its own beside the one for plain requests, which keep their time limits; both are guarded alike.
Where a route allows none, an upgrade is answered 403.
"""

from datetime import timedelta

from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.config.route.v3.route_components_pb2 import HeaderMatcher, Route, RouteAction
from envoy.type.matcher.v3.string_pb2 import StringMatcher

from apps.control_plane.resources.protos import duration

IDLE = timedelta(hours=1)
"""Without a frame in either direction a connection is closed; pings are frames."""

KEY_HEADER = "sec-websocket-key"

_UPGRADE = "websocket"
_NO_KEY = "bm8ga2V5IG92ZXIgaHR0cA=="
"""16 bytes, as RFC 6455 wants; the key keeps no secret, it shows that the other side speaks WebSocket."""
_NONE = timedelta(0)


def allow(action: RouteAction) -> None:
    """Lets upgrades of the route through, for as long as frames come."""
    action.upgrade_configs.add(upgrade_type=_UPGRADE)
    action.timeout.CopyFrom(duration(_NONE))
    action.idle_timeout.CopyFrom(duration(IDLE))


def upgrades_of(route: Route) -> Route:
    """The route for the upgrades on `route`, to stand before it."""
    result = Route()
    result.CopyFrom(route)
    for header, value in (("upgrade", StringMatcher(exact=_UPGRADE)), ("connection", StringMatcher(contains="upgrade"))):
        value.ignore_case = True
        result.match.headers.append(HeaderMatcher(name=header, string_match=value))
    # Over HTTP/2 clients send none (RFC 8441 §5), and the app, which speaks HTTP/1.1, would refuse.
    key = HeaderValueOption(header=HeaderValue(key=KEY_HEADER, value=_NO_KEY), append_action=HeaderValueOption.ADD_IF_ABSENT)
    result.request_headers_to_add.append(key)
    allow(result.route)
    return result
