"""A client and an app that speak RFC 6455 by hand, so that each byte of the handshake and of closing can be asserted on."""

import base64
import hashlib
import os
import socket
import socketserver
import ssl
import struct
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest

from apps.control_plane.resources import http
from model.contract import Role

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
GOAWAY = 7
GOING_AWAY = 1001
HTTPS, PORT = 8443, 9080
AUTH = {"issuer": "https://login.example.com", "jwks": "http://127.0.0.1:1/keys", "audiences": ["mesh"]}
ROUTES: list[dict[str, Any]] = [
    {"prefix": "/open", "websocket": True, "timeout": "500ms"},
    {"prefix": "/plain"},
    {"prefix": "/guarded", "websocket": True, "auth": "jwt"},
]


class Frames:
    """Frames in and out of a byte stream; a client masks what it sends (RFC 6455 §5.3)."""

    TEXT, CLOSE, PING, PONG = 1, 8, 9, 10

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
                    if kind in (0, Frames.CLOSE):
                        outer.closed.append(payload)
                        if kind == Frames.CLOSE:
                            frames.send(Frames.CLOSE, payload)
                        return
                    frames.send(Frames.PONG if kind == Frames.PING else kind, payload if kind == Frames.PING else b"[ws] " + payload)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server((address, port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def say_goodbye(self) -> None:
        for frames in self.open:
            frames.send(Frames.CLOSE, struct.pack(">H", GOING_AWAY))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def accept_of(key: str) -> str:
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


class Upgrade:
    """One attempt over HTTP/1.1; with status 101 it is `frames`."""

    OPEN = 101

    def __init__(self, lab: Any, path: str, **headers: str) -> None:
        edge = lab.endpoints[0].address
        context = ssl.create_default_context(cafile=str(lab.directory / "ca.pem"))
        context.set_alpn_protocols(["http/1.1"])
        self.socket = context.wrap_socket(socket.create_connection((edge, HTTPS), timeout=5), server_hostname=edge)
        key = base64.b64encode(os.urandom(16)).decode()
        self.accept = accept_of(key)
        sent = {"host": edge, "connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13", "sec-websocket-key": key}
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

    OPEN = 200

    def __init__(self, lab: Any, path: str, **headers: str) -> None:
        edge = lab.endpoints[0].address
        context = ssl.create_default_context(cafile=str(lab.directory / "ca.pem"))
        context.set_alpn_protocols(["h2"])
        self.socket = context.wrap_socket(socket.create_connection((edge, HTTPS), timeout=5), server_hostname=edge)
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


@pytest.fixture(scope="module")
def echo_lab(spec_of: Any, lab_of: Any) -> Callable[..., Any]:
    """Makes a lab of machines (role, service) and, as the last, the echo app's; the first is where clients connect.

    Time limits of plain requests are a second here, so that a connection outlives them within a test.
    """

    def make(*proxies: tuple[Role, str], **edge: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(http, "_REQUEST_TIMEOUT", timedelta(seconds=1))
            patch.setattr(http, "_STREAM_IDLE_TIMEOUT", timedelta(seconds=1))
            web = {"port": PORT, "health": {"path": "/health"}, "routes": ROUTES}
            lab = lab_of(spec_of(edge={"https": HTTPS, "http": 8080, "auth": AUTH, **edge}, web=web))
            for role, service in proxies:
                lab.add(role, service)
            address = lab.add(Role.SERVICE, "web")
            lab.apps[address].close()
            lab.apps[address] = EchoApp(address, PORT)
            lab.start()
        return lab

    return make


@pytest.fixture(params=[Upgrade, Connect], ids=["HTTP/1.1", "HTTP/2"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def over_http1() -> Any:
    return Upgrade
