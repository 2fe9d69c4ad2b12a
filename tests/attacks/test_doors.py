"""What is behind no route: admin, metrics, control planes, gRPC's own services, WebSockets without a token. Acceptance 24, 107, 110."""

import socket
import struct

import pytest

from model.contract import ADMIN_PORT, CONSOLE_PORT, INGRESS_PORT, METRICS_PORT, ORIGIN_PORT, POSTGRES_PORT, XDS_PORT
from tests.attacks.attack import Answer, Attack, Ledger, ids, judge
from tests.attacks.edge import Edge, pseudo
from tests.attacks.forgery import Forger

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
ADMIN_PATHS = (
    "/config_dump",
    "/quitquitquit",
    "/healthcheck/fail",
    "/stats",
    "/stats/prometheus",
    "/clusters",
    "/server_info",
    "/logging",
    "/runtime_modify",
    "/certs",
    "/drain_listeners",
    "/ready",
)
APP_PATHS = (
    "/service-1/metrics",
    "/service-2/metrics/",
    "/orders/metrics",
    "//service-1//metrics",
    "/service-1/x/../metrics",
    "/service-1/%6detrics",
)
CLOSED = (ADMIN_PORT, METRICS_PORT, INGRESS_PORT, XDS_PORT, CONSOLE_PORT, POSTGRES_PORT, ORIGIN_PORT, 22, 9090, 3000)
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def asked(name: str, method: str, path: str, host: str = "", must: tuple[int, ...] = (404,)) -> Attack:
    def how(edge: Edge) -> Answer:
        answer = edge.send(f"{method} {path} HTTP/1.1\r\nhost: {host or edge.authority}\r\nconnection: close\r\n\r\n".encode()).decode(
            "latin-1"
        )
        return Answer(status=int(answer[9:12] or 0), text=answer)

    return Attack(name=name, how=how, must=must)


def port(number: int) -> Attack:
    """At the edge's public address; that private ones are out of reach is the firewall's, which loopback does not have."""

    def how(edge: Edge) -> Answer:
        with socket.socket() as probe:
            probe.settimeout(1)
            return Answer(status=0, gained="" if probe.connect_ex((edge.host, number)) else "a connection")

    return Attack(name=f"port {number} of the public address", how=how, must=(0,))


def handshake(name: str, path: str, token: bool = False, must: tuple[int, ...] = (401, 403), **more: str) -> Attack:
    """A WebSocket over HTTP/1.1; 101 is never right here."""

    def how(edge: Edge) -> Answer:
        headers = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13", "sec-websocket-key": KEY, **more}
        if token:
            headers["authorization"] = f"Bearer {Forger(edge).good()}"
        lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        answer = edge.send(f"GET {path} HTTP/1.1\r\nhost: {edge.authority}\r\n{lines}\r\n".encode()).decode("latin-1")
        return Answer(status=int(answer[9:12] or 0), text=answer)

    return Attack(name=f"WebSocket: {name}", how=how, must=must)


def connect(name: str, path: str, must: tuple[int, ...] = (0, 401, 403), protocol: str = "websocket") -> Attack:
    """A WebSocket over HTTP/2 (RFC 8441)."""

    def how(edge: Edge) -> Answer:
        fields = [*pseudo(edge.authority, path, "CONNECT"), (":protocol", protocol), ("sec-websocket-version", "13")]
        status, _, text = edge.http2(fields, b"")
        return Answer(status=status, text=text.decode("latin-1"))

    return Attack(name=f"WebSocket over HTTP/2: {name}", how=how, must=must)


def another_sites_socket(edge: Edge) -> Answer:
    """Cross-site WebSocket hijacking on a public route."""
    lines = f"connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\norigin: https://evil.example\r\n"
    answer = edge.send(f"GET /service-1/ws HTTP/1.1\r\nhost: {edge.authority}\r\n{lines}\r\n".encode()).decode("latin-1")
    status = int(answer[9:12] or 0)
    return Answer(status=status, text=answer, gained="a WebSocket" if status == 101 else "")


def often(name: str, path: str, **more: str) -> Attack:
    """What fails for the caller's own fault must not have a machine taken for sick."""
    once = grpc(name, path, framed(b""), reaches=8, **more)

    def how(edge: Edge) -> Answer:
        return [once.how(edge) for _ in range(8)][-1]

    return Attack(name=f"{once.name}, eight times", how=how, must=once.must, reaches=8)


def framed(message: bytes, *, flags: int = 0, length: int | None = None) -> bytes:
    return struct.pack(">BI", flags, len(message) if length is None else length) + message


def grpc(name: str, path: str, body: bytes, reaches: int = 0, **more: str) -> Attack:
    """A call over HTTP/2. Where nothing may be reached, an OK is what the attacker wants; elsewhere an answer is all that is due."""

    def how(edge: Edge) -> Answer:
        headers = {"content-type": "application/grpc", "te": "trailers", **more}
        status, seen, text = edge.http2([*pseudo(edge.authority, path, "POST"), *headers.items()], body)
        code = seen.get("grpc-status", "")
        gained = "an answer" if code == "0" and not reaches else ""
        return Answer(status=status, text=f"grpc-status {code} {text[:80]!r}", gained=gained)

    return Attack(name=f"gRPC: {name}", how=how, must=(0, 200, 400, 404), reaches=reaches)


GET = "/mesh.info.v1.Info/Get"
ROWS = [
    *(asked(f"{method} {path}", method, path, must=(404,)) for path in ADMIN_PATHS for method in ("GET", "POST")),
    *(asked(f"GET {path} of the app", "GET", path, must=(307, 401, 404)) for path in APP_PATHS),
    asked("admin by host", "GET", "/stats", f"127.0.0.1:{ADMIN_PORT}"),
    asked("admin by absolute URL", "GET", f"http://127.0.0.1:{ADMIN_PORT}/stats", must=(400, 403, 404)),
    asked("instance metadata by host", "GET", "/latest/meta-data/", "169.254.169.254"),
    asked("instance metadata by absolute URL", "GET", "http://169.254.169.254/latest/meta-data/", must=(400, 403, 404)),
    *(port(number) for number in CLOSED),
    handshake("no token on a route that wants one", "/orders/ws"),
    handshake("no login on a route that wants one", "/account/ws"),
    handshake("a token where no WebSocket is allowed", "/orders/ws", token=True, must=(403,)),
    handshake("where no WebSocket is allowed", "/service-2/ws", must=(403,)),
    handshake("dots that lead to a guarded route", "/service-1/../orders/ws"),
    handshake("a token in the protocol", "/orders/ws", **{"sec-websocket-protocol": "Bearer, x.y.z"}),
    handshake("an app that has none", "/service-1/info", must=(403, 404)),
    handshake("the callback", "/oauth2/callback", must=(401, 403)),
    handshake("the issuer", "/identity/authorize", must=(400, 403, 404)),
    connect("no token on a route that wants one", "/orders/ws"),
    connect("no login on a route that wants one", "/account/ws"),
    connect("where no WebSocket is allowed", "/service-2/ws"),
    connect("dots that lead to a guarded route", "/service-1/../orders/ws"),
    connect("another protocol", "/service-1/ws", protocol="connect-udp", must=(0, 400, 403, 404)),
    Attack(name="WebSocket: another site's page on a public route", how=another_sites_socket, must=(403,)),
    grpc("reflection", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", framed(b"\x3a\x00")),
    grpc("health", "/grpc.health.v1.Health/Check", framed(b"")),
    grpc("channelz", "/grpc.channelz.v1.Channelz/GetServers", framed(b"")),
    grpc("a method that is not there", "/mesh.info.v1.Info/Drop", framed(b""), reaches=1),
    often("a method that is not there", "/mesh.info.v1.Info/Drop"),
    often("a deadline that is over", "/mesh.info.v1.Info/Query", **{"grpc-timeout": "1m"}),
    grpc("a package in capitals", "/MESH.INFO.V1.Info/Get", framed(b"")),
    grpc("dots to another service", "/mesh.info.v1.Info/../grpc.health.v1.Health/Check", framed(b"")),
    grpc("a message longer than it says", GET, framed(b"\x0a\x01a", length=1), reaches=1),
    grpc("a message shorter than it says", GET, framed(b"\x0a\x01a", length=1000), reaches=1),
    grpc("a message of 4 GiB, it says", GET, framed(b"\x0a\x01a", length=0xFFFFFFFF), reaches=1),
    grpc("a message that is no protobuf", GET, framed(b"\xff" * 100), reaches=1),
    grpc("a message that is compressed and is not", GET, framed(b"abc", flags=1), reaches=1),
    grpc("unknown flags", GET, framed(b"", flags=0x7E), reaches=1),
    grpc("no frame", GET, b"\x00\x00", reaches=1),
    grpc("a deadline that is none", GET, framed(b""), reaches=1, **{"grpc-timeout": "x"}),
    grpc(
        "gRPC-Web that is no base64", "/grpc-1/mesh.info.v1.Info/Get", b"!!!!", reaches=1, **{"content-type": "application/grpc-web-text"}
    ),
    asked("JSON: an unknown parameter", "GET", "/grpc-1/v1/info?admin=true", must=(400,)),
    asked("JSON: an unknown path", "GET", "/grpc-1/v1/secrets"),
    asked("JSON: a number that is none", "GET", "/grpc-1/v1/info:watch?count=1e999", must=(400,)),
]


@pytest.mark.parametrize(**ids(ROWS))
def test_a_door(attack: Attack, edge: Edge, ledger: Ledger) -> None:
    judge("door", attack, edge, ledger)


def test_a_websocket_is_to_be_had_where_it_is_allowed(edge: Edge) -> None:
    """Else the refusals above would prove nothing."""
    assert handshake("control", "/service-1/ws").how(edge).status == 101
    assert connect("control", "/service-1/ws").how(edge).status == 200
