"""WebSocket through a real edge and a real sidecar, over HTTP/1.1 and HTTP/2. Static config: says nothing of ADS.

Client and app here speak RFC 6455 by hand, so that each byte of the handshake and of closing can be asserted on.
"""

import base64
import hashlib
import os
import socket
import socketserver
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from apps.control_plane import type_urls
from apps.control_plane.build import resources_for
from apps.control_plane.model import World
from apps.control_plane.resources import http
from model.contract import Role

envoy = pytest.mark.envoy

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
GOING_AWAY = 1001
GOAWAY = 7
HTTP = {"port": 9080, "health": {"path": "/health"}}
AUTH = {"issuer": "https://login.example.com", "jwks": "http://127.0.0.1:1/keys", "audiences": ["mesh"]}
ROUTES: list[dict[str, Any]] = [
    {"prefix": "/open", "websocket": True, "timeout": "500ms"},
    {"prefix": "/plain"},
    {"prefix": "/guarded", "websocket": True, "auth": "jwt"},
]


class Frames:
    """Frames in and out of a byte stream; a client masks what it sends (RFC 6455 §5.3)."""

    def __init__(self, send: Any, receive: Any, *, masks: bool) -> None:
        self._send, self._receive, self._masks, self._bytes = send, receive, masks, b""

    def send(self, kind: int, data: bytes) -> None:
        length = len(data)
        size = (
            bytes([length])
            if length < 126
            else b"\x7e" + struct.pack(">H", length)
            if length < 65536
            else b"\x7f" + struct.pack(">Q", length)
        )
        if not self._masks:
            self._send(bytes([0x80 | kind]) + size + data)
            return
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
        self._send(bytes([0x80 | kind, 0x80 | size[0]]) + size[1:] + mask + masked)

    def receive(self) -> tuple[int, bytes]:
        """The next frame; a kind of 0 is the end of the stream."""
        head = self._exactly(2)
        if not head:
            return 0, b""
        length = head[1] & 0x7F
        if length >= 126:
            length = int.from_bytes(self._exactly(2 if length == 126 else 8), "big")
        mask = self._exactly(4) if head[1] & 0x80 else bytes(4)
        data = self._exactly(length)
        return head[0] & 0x0F, bytes(byte ^ mask[index % 4] for index, byte in enumerate(data)) if any(mask) else data

    def _exactly(self, count: int) -> bytes:
        while len(self._bytes) < count:
            more = self._receive()
            if not more:
                return b""
            self._bytes += more
        taken, self._bytes = self._bytes[:count], self._bytes[count:]
        return taken


class EchoApp:
    """Answers upgrades, pings and plain requests; `say_goodbye` closes every connection as a stopping server does."""

    def __init__(self, address: str, port: int) -> None:
        self.seen: list[dict[str, str]] = []
        self.open: list[Frames] = []
        self.closed: list[bytes] = []
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                data = b""
                while b"\r\n\r\n" not in data:
                    if not (more := self.request.recv(65536)):
                        return
                    data += more
                line, *lines = data.decode().split("\r\n\r\n")[0].split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                if "/health" not in line:
                    outer.seen.append(headers | {":line": line})
                if headers.get("upgrade", "").lower() != "websocket":
                    time.sleep(1 if "slow" in line else 0)
                    self.request.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\nconnection: close\r\n\r\nNotWebSocket")
                    return
                accept = accept_of(headers["sec-websocket-key"])
                answer = f"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n"
                self.request.sendall(b"HTTP/1.1 101 Switching Protocols\r\n" + answer.encode())
                frames = Frames(self.request.sendall, lambda: self.request.recv(65536), masks=False)
                outer.open.append(frames)
                while True:
                    kind, payload = frames.receive()
                    if kind in (0, CLOSE):
                        outer.closed.append(payload)
                        if kind == CLOSE:
                            frames.send(CLOSE, payload)
                        return
                    frames.send(PONG if kind == PING else kind, payload if kind == PING else b"[ws] " + payload)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server((address, port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def say_goodbye(self) -> None:
        for frames in self.open:
            frames.send(CLOSE, struct.pack(">H", GOING_AWAY))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def accept_of(key: str) -> str:
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


class Upgrade:
    """One attempt over HTTP/1.1; with status 101 it is `frames`."""

    def __init__(self, lab: Any, path: str, **headers: str) -> None:
        edge = lab.endpoints[0].address
        context = ssl.create_default_context(cafile=str(lab.directory / "ca.pem"))
        context.set_alpn_protocols(["http/1.1"])
        self.socket = context.wrap_socket(socket.create_connection((edge, 8443), timeout=5), server_hostname=edge)
        self.key = base64.b64encode(os.urandom(16)).decode()
        sent = {"host": edge, "connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13", "sec-websocket-key": self.key}
        lines = "".join(f"{name}: {value}\r\n" for name, value in (sent | headers).items())
        self.socket.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.socket.recv(65536)
        head, _, self.body = data.partition(b"\r\n\r\n")
        line, *rest = head.decode().split("\r\n")
        self.status = int(line.split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (item.partition(":") for item in rest)}
        self.frames = Frames(self.socket.sendall, self._receive, masks=True)

    def _receive(self) -> bytes:
        data, self.body = self.body, b""
        return data or self.socket.recv(65536)

    def close(self) -> None:
        self.socket.close()


class Connect:
    """One attempt over HTTP/2, by extended CONNECT (RFC 8441); with status 200 it is `frames`."""

    def __init__(self, lab: Any, path: str, **headers: str) -> None:
        edge = lab.endpoints[0].address
        context = ssl.create_default_context(cafile=str(lab.directory / "ca.pem"))
        context.set_alpn_protocols(["h2"])
        self.socket = context.wrap_socket(socket.create_connection((edge, 8443), timeout=5), server_hostname=edge)
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._h2.initiate_connection()
        self._data, self._ended, self.headers = [b""], False, dict[str, str]()
        self.offered, self._raw = False, b""
        self._flush()
        while not self.offered:
            self._pump()
        sent = {":method": "CONNECT", ":protocol": "websocket", ":scheme": "https", ":path": path, ":authority": edge}
        self._h2.send_headers(1, [*(sent | {"sec-websocket-version": "13"} | headers).items()])
        self._flush()
        while not self.headers and not self._ended:
            self._pump()
        self.status = int(self.headers[":status"])
        self.frames = Frames(self._send, self._receive, masks=True)

    def _flush(self) -> None:
        self.socket.sendall(self._h2.data_to_send())

    def _send(self, data: bytes) -> None:
        while data:
            window = min(self._h2.local_flow_control_window(1), self._h2.max_outbound_frame_size)
            if not window:
                self._pump()
                continue
            self._h2.send_data(1, data[:window])
            data = data[window:]
            self._flush()

    def _receive(self) -> bytes:
        while not self._data[-1] and not self._ended:
            self._pump()
        data, self._data = b"".join(self._data), [b""]
        return data

    def _pump(self) -> None:
        received = self.socket.recv(65536)
        self._ended = self._ended or not received
        for event in self._h2.receive_data(self._whole_frames(received)):
            if isinstance(event, h2.events.RemoteSettingsChanged):
                self.offered = self.offered or self._h2.remote_settings.enable_connect_protocol == 1
            elif isinstance(event, h2.events.ResponseReceived):
                self.headers = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                self._data.append(event.data)
                self._h2.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset | h2.events.ConnectionTerminated):
                self._ended = True
        self._flush()

    def _whole_frames(self, received: bytes) -> bytes:
        """Less GOAWAY, after which h2 would not read the answer to the last request."""
        self._raw, whole = self._raw + received, b""
        while len(self._raw) >= 9 and len(self._raw) >= (size := 9 + int.from_bytes(self._raw[:3], "big")):
            whole += b"" if self._raw[3] == GOAWAY else self._raw[:size]
            self._raw = self._raw[size:]
        return whole

    def close(self) -> None:
        self.socket.close()


KINDS = [pytest.param(Upgrade, id="HTTP/1.1"), pytest.param(Connect, id="HTTP/2")]
OPEN = {Upgrade: 101, Connect: 200}


@pytest.fixture(scope="module")
def lab(spec_of: Any, lab_of: Any) -> Iterator[Any]:
    """Time limits of plain requests are a second here, so that a connection outlives them within a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http, "_REQUEST_TIMEOUT", timedelta(seconds=1))
        patch.setattr(http, "_STREAM_IDLE_TIMEOUT", timedelta(seconds=1))
        lab = lab_of(spec_of(edge={"https": 8443, "http": 8080, "auth": AUTH}, web=HTTP | {"routes": ROUTES}))
        lab.add(Role.EDGE, "edge")
        address = lab.add(Role.SERVICE, "web")
        lab.apps[address].close()
        lab.apps[address] = EchoApp(address, 9080)
        lab.start()
        yield lab


@pytest.fixture
def app(lab: Any) -> EchoApp:
    app: EchoApp = lab.apps[lab.endpoints[1].address]
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
@pytest.mark.parametrize("kind", KINDS)
def test_messages_go_both_ways_on_one_connection(lab: Any, app: EchoApp, connect: Any, kind: Any) -> None:
    """105, 106, 110: through both hops, of which the one between the proxies is HTTP/2."""
    connection = connect(kind, "/open/ws?room=1", **{"sec-websocket-protocol": "chat"})
    assert connection.status == OPEN[kind]
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
def test_the_handshakes_answer_has_the_right_accept_header(app: EchoApp, connect: Any) -> None:
    """108."""
    connection = connect(Upgrade, "/open/ws")
    assert connection.headers["sec-websocket-accept"] == accept_of(connection.key)


@envoy
@pytest.mark.parametrize("kind", KINDS)
def test_upgrades_are_counted_and_closing_ends_both_hops(lab: Any, app: EchoApp, connect: Any, kind: Any) -> None:
    """108."""
    before = [count(lab, "downstream_cx_upgrades_total", machine) for machine in (0, 1)]
    connection = connect(kind, "/open/ws")
    assert [count(lab, "downstream_cx_upgrades_total", machine) for machine in (0, 1)] == [total + 1 for total in before]
    assert [count(lab, "downstream_cx_upgrades_active", machine) for machine in (0, 1)] == [1, 1]
    connection.frames.send(CLOSE, struct.pack(">H", 1000))
    assert connection.frames.receive() == (CLOSE, struct.pack(">H", 1000))
    assert app.closed == [struct.pack(">H", 1000)]
    eventually(lambda: [count(lab, "downstream_cx_upgrades_active", machine) for machine in (0, 1)] == [0, 0])


@envoy
@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_vanishes_is_told_to_the_app(lab: Any, app: EchoApp, connect: Any, kind: Any) -> None:
    connect(kind, "/open/ws").close()
    eventually(lambda: len(app.closed) == 1)
    eventually(lambda: count(lab, "downstream_cx_upgrades_active") == 0)


@envoy
@pytest.mark.parametrize("kind", KINDS)
def test_an_app_that_stops_says_goodbye_to_the_client(lab: Any, app: EchoApp, connect: Any, kind: Any) -> None:
    """Drain: a stopping server closes with 1001, which passes as it is; the connection ends after it."""
    connection = connect(kind, "/open/ws")
    eventually(lambda: app.open)
    app.say_goodbye()
    assert connection.frames.receive() == (CLOSE, struct.pack(">H", GOING_AWAY))
    connection.frames.send(CLOSE, struct.pack(">H", GOING_AWAY))
    eventually(lambda: count(lab, "downstream_cx_upgrades_active") == 0)


@envoy
@pytest.mark.parametrize("kind", KINDS)
def test_an_upgrade_on_a_route_that_allows_none_is_403(lab: Any, app: EchoApp, connect: Any, kind: Any) -> None:
    """107."""
    before = count(lab, "downstream_rq_ws_on_non_ws_route")
    connection = connect(kind, "/plain/ws")
    assert connection.status == 403
    assert count(lab, "downstream_rq_ws_on_non_ws_route") == before + 1
    assert not app.seen


@envoy
def test_plain_requests_reach_the_app_on_either_route(lab: Any, app: EchoApp) -> None:
    """106."""
    with lab.client() as client:
        for path in ("/open", "/open/ws", "/plain/ws"):
            assert (client.get(path).status_code, client.get(path).text) == (200, "NotWebSocket")


@envoy
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("token", ["", "Bearer x", "Bearer a.b.c"])
def test_a_handshake_without_a_valid_token_is_401_as_on_the_route(lab: Any, app: EchoApp, connect: Any, kind: Any, token: str) -> None:
    """110."""
    connection = connect(kind, "/guarded/ws", **({"authorization": token} if token else {}))
    assert connection.status == 401
    assert not app.seen


@envoy
@pytest.mark.parametrize("kind", KINDS)
def test_a_silent_connection_outlives_the_time_limits_of_plain_requests(lab: Any, app: EchoApp, connect: Any, kind: Any) -> None:
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
def test_what_is_no_upgrade_to_websocket_opens_no_tunnel(app: EchoApp, connect: Any, headers: dict[str, str]) -> None:
    connection = connect(Upgrade, "/plain/ws", **headers)
    assert connection.status in (200, 400, 403, 426)


@envoy
def test_a_plain_connect_is_no_tunnel(lab: Any, app: EchoApp) -> None:
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
