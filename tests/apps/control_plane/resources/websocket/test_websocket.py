"""WebSocket through a real edge and a real sidecar, over HTTP/1.1 and HTTP/2. Static config: says nothing of ADS."""

import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from apps.control_plane import type_urls
from apps.control_plane.build import resources_for
from apps.control_plane.model import World
from model.contract import Role

envoy = pytest.mark.envoy

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
GOING_AWAY = 1001
HTTP = {"port": 9080, "health": {"path": "/health"}}


@pytest.fixture(scope="module")
def lab(echo_lab: Any) -> Any:
    return echo_lab((Role.EDGE, "edge"))


@pytest.fixture
def app(lab: Any) -> Any:
    app: Any = lab.apps[lab.endpoints[1].address]
    app.seen.clear()
    app.open.clear()
    app.closed.clear()
    return app


@pytest.fixture
def connect(lab: Any) -> Iterator[Callable[..., Any]]:
    """Attempts an upgrade; whatever was opened is closed after the test, on both hops."""
    opened: list[Any] = []

    def make(kind: Any, path: str, **headers: str) -> Any:
        opened.append(kind(lab, path, **headers))
        return opened[-1]

    yield make
    for one in opened:
        one.close()
    eventually(lambda: [count(lab, "downstream_cx_upgrades_active", machine) for machine in (0, 1)] == [0, 0])


def count(lab: Any, name: str, machine: int = 0) -> int:
    prefix = ("edge-https", "ingress")[machine]
    return int(lab.statistics(lab.endpoints[machine].address).get(f"http.{prefix}.{name}", 0))


def eventually(condition: Any) -> None:
    until = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


@envoy
def test_messages_go_both_ways_on_one_connection(lab: Any, app: Any, connect: Any, kind: Any) -> None:
    """Acceptance 105, 106, 110: through both hops, of which the one between the proxies is HTTP/2."""
    connection = connect(kind, "/open/ws?room=1", **{"sec-websocket-protocol": "chat"})
    assert connection.status == connection.OPEN
    for text in (b"HELO", b"again", b"x" * 300_000):
        connection.frames.send(TEXT, text)
        assert connection.frames.receive() == (TEXT, b"[ws] " + text)
    connection.frames.send(PING, b"p")
    assert connection.frames.receive() == (PONG, b"p")
    [seen] = app.seen
    assert seen[":line"] == "GET /ws?room=1 HTTP/1.1"
    assert seen["sec-websocket-protocol"] == "chat"
    assert seen["x-forwarded-prefix"] == "/open"
    assert seen["x-forwarded-proto"] == "https"


@envoy
def test_the_handshakes_answer_has_the_right_accept_header(app: Any, connect: Any, over_http1: Any) -> None:
    """Acceptance 108."""
    connection = connect(over_http1, "/open/ws")
    assert connection.headers["sec-websocket-accept"] == connection.accept


@envoy
def test_upgrades_are_counted_and_closing_ends_both_hops(lab: Any, app: Any, connect: Any, kind: Any) -> None:
    """Acceptance 108."""
    before = [count(lab, "downstream_cx_upgrades_total", machine) for machine in (0, 1)]
    connection = connect(kind, "/open/ws")
    assert [count(lab, "downstream_cx_upgrades_total", machine) for machine in (0, 1)] == [total + 1 for total in before]
    assert [count(lab, "downstream_cx_upgrades_active", machine) for machine in (0, 1)] == [1, 1]
    connection.frames.send(CLOSE, struct.pack(">H", 1000))
    assert connection.frames.receive() == (CLOSE, struct.pack(">H", 1000))
    assert app.closed == [struct.pack(">H", 1000)]
    eventually(lambda: [count(lab, "downstream_cx_upgrades_active", machine) for machine in (0, 1)] == [0, 0])


@envoy
def test_a_client_that_vanishes_is_told_to_the_app(lab: Any, app: Any, connect: Any, kind: Any) -> None:
    connect(kind, "/open/ws").close()
    eventually(lambda: len(app.closed) == 1)
    eventually(lambda: count(lab, "downstream_cx_upgrades_active") == 0)


@envoy
def test_an_app_that_stops_says_goodbye_to_the_client(lab: Any, app: Any, connect: Any, kind: Any) -> None:
    """Drain: a stopping server closes with 1001, which passes as it is; the connection ends after it."""
    connection = connect(kind, "/open/ws")
    eventually(lambda: app.open)
    app.say_goodbye()
    assert connection.frames.receive() == (CLOSE, struct.pack(">H", GOING_AWAY))
    connection.frames.send(CLOSE, struct.pack(">H", GOING_AWAY))
    eventually(lambda: count(lab, "downstream_cx_upgrades_active") == 0)


@envoy
def test_an_upgrade_on_a_route_that_allows_none_is_403(lab: Any, app: Any, connect: Any, kind: Any) -> None:
    """Acceptance 107."""
    before = count(lab, "downstream_rq_ws_on_non_ws_route")
    connection = connect(kind, "/plain/ws")
    assert connection.status == 403
    assert count(lab, "downstream_rq_ws_on_non_ws_route") == before + 1
    assert not app.seen


@envoy
def test_plain_requests_reach_the_app_on_either_route(lab: Any, app: Any) -> None:
    """Acceptance 106."""
    with lab.client() as client:
        for path in ("/open", "/open/ws", "/plain/ws"):
            assert (client.get(path).status_code, client.get(path).text) == (200, "NotWebSocket")


@envoy
@pytest.mark.parametrize("token", ["", "Bearer x", "Bearer a.b.c"])
def test_a_handshake_without_a_valid_token_is_401_as_on_the_route(lab: Any, app: Any, connect: Any, kind: Any, token: str) -> None:
    """Acceptance 110."""
    connection = connect(kind, "/guarded/ws", **({"authorization": token} if token else {}))
    assert connection.status == 401
    assert not app.seen


@envoy
def test_a_silent_connection_outlives_the_time_limits_of_plain_requests(lab: Any, app: Any, connect: Any, kind: Any) -> None:
    """The route's 500 ms; here a second each for a whole request and for a silent stream."""
    connection = connect(kind, "/open/ws")
    time.sleep(2.5)
    connection.frames.send(TEXT, b"still")
    assert connection.frames.receive() == (TEXT, b"[ws] still")
    with lab.client() as client:
        assert client.get("/open/slow").status_code == 504


@envoy
@pytest.mark.parametrize(
    "headers", [{"upgrade": "h2c"}, {"connection": "close"}, {"upgrade": "websocket2"}, {"sec-websocket-key": ""}, {"upgrade": "TLS/1.3"}]
)
def test_what_is_no_upgrade_to_websocket_opens_no_tunnel(app: Any, connect: Any, over_http1: Any, headers: dict[str, str]) -> None:
    connection = connect(over_http1, "/plain/ws", **headers)
    assert connection.status in (200, 400, 403, 426)


@envoy
def test_a_plain_connect_is_no_tunnel(lab: Any, app: Any) -> None:
    edge = lab.endpoints[0].address
    context = ssl.create_default_context(cafile=str(lab.directory / "ca.pem"))
    with context.wrap_socket(socket.create_connection((edge, 8443), timeout=5), server_hostname=edge) as connection:
        connection.sendall(f"CONNECT {lab.endpoints[1].address}:9080 HTTP/1.1\r\nhost: {edge}\r\n\r\n".encode())
        assert int(connection.recv(4096).split()[1]) in (403, 404)


def test_a_sidecar_takes_upgrades_only_where_a_route_does(spec_of: Any, node_of: Any) -> None:
    spec = spec_of(
        web=HTTP | {"routes": [{"prefix": "/a"}, {"prefix": "/b", "websocket": True}]}, other=HTTP | {"routes": [{"prefix": "/c"}]}
    )
    world = World(spec=spec, stack="t")
    for service, kinds in (("web", ["websocket"]), ("other", [])):
        routes: Any = resources_for(world, node_of(Role.SERVICE, service))[type_urls.ROUTE]["ingress"]
        [route] = routes.virtual_hosts[0].routes
        assert [item.upgrade_type for item in route.route.upgrade_configs] == kinds
    built: Any = resources_for(world, node_of(Role.EDGE, "edge"))[type_urls.ROUTE]["edge"]
    allowing = [route.name for route in built.virtual_hosts[0].routes if route.route.upgrade_configs]
    assert allowing == ["web:/b"]
