"""The edge under attack: how an attacker reaches it, byte by byte where need be, and what its apps saw of it."""

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import httpx
from hpack import Decoder, Encoder
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, RstStreamFrame, SettingsFrame

from model.contract import ADMIN_PORT, INGRESS_PORT, METRICS_PORT
from tests.e2e.driver import Stack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ANSWER_SECONDS = 3.0
QUIET_SECONDS = 0.1
"""After an answer has begun; a closing edge waits a second for the client to close first."""
SETTLE_SECONDS = 0.03
"""For what an app may see of an attack after the attacker has its answer."""
_SERVED = re.compile(r"^http_requests_total\{.*\} ([0-9.e+]+)$", re.MULTILINE)
_CALLED = re.compile(r'^envoy_cluster_grpc_total\{.*envoy_grpc_bridge_service="(?!grpc[.]health).*"\} ([0-9.e+]+)$', re.MULTILINE)
_HARM = r"^cluster\..*(upstream_cx_destroy_remote_with_active_rq|outlier_detection\.ejections_enforced_total)$"

Headers = Mapping[str, str] | Sequence[tuple[str, str]]


@dataclass
class Requests:
    """How many requests reached apps, and what others would notice; known when the body that it was opened for has ended."""

    count: int = 0
    harm: dict[str, int] = field(default_factory=dict)
    """Counter of the edge → by how much it moved: connections to sidecars that broke, machines taken for sick."""


@dataclass(frozen=True, kw_only=True)
class Edge:
    """One edge of the shared stack."""

    stack: Stack
    url: str
    machines: tuple[dict[str, str], ...]
    secrets: Mapping[str, str] = field(repr=False)
    """The issuer's own: `signing-key` (PEM), `client-secret`, `password`."""

    @cached_property
    def _place(self) -> httpx.URL:
        return httpx.URL(self.url)

    @property
    def host(self) -> str:
        """Its public address."""
        return self._place.host

    @property
    def port(self) -> int:
        return self._place.port or 443

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}"

    @cached_property
    def machine(self) -> str:
        """Its private address, where metrics and admin are."""
        via = self.get("/service-1/info").json()["via"][0]
        (address,) = (one["address"] for one in self.machines if via.endswith(one["id"]))
        return address

    @cached_property
    def client_id(self) -> str:
        """The edge's own at the issuer, as a redirect to the login page shows it."""
        sent = self.get("/account/headers", {"accept": "text/html"})
        return str(httpx.URL(sent.headers["location"]).params["client_id"])

    def addresses(self, service: str) -> list[str]:
        return [one["address"] for one in self.machines if one["service"] == service]

    @cached_property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.stack.ca))

    def client(self, *, http2: bool = False, **options: Any) -> httpx.Client:
        """A well-behaved client that keeps cookies as a browser would."""
        return httpx.Client(base_url=self.url, verify=self.trust, http1=not http2, http2=http2, trust_env=False, timeout=10, **options)

    def request(self, method: str, path: str, headers: Headers = (), **options: Any) -> httpx.Response:
        """One request over HTTP/1.1 whose path goes out as it is written here."""
        raw = self._place.copy_with(raw_path=path.encode("latin-1"))
        with self.client() as client:
            return client.request(method, raw, headers=headers, **options)  # type: ignore[arg-type]

    def get(self, path: str, headers: Headers = ()) -> httpx.Response:
        return self.request("GET", path, headers)

    def connect(self, protocol: str = "http/1.1", *, receive_buffer: int = 0) -> ssl.SSLSocket:
        """A TLS connection that speaks what ALPN says."""
        context = ssl.create_default_context(cafile=str(self.stack.ca))
        context.set_alpn_protocols([protocol])
        plain = socket.socket()
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plain.settimeout(ANSWER_SECONDS)
        plain.connect((self.host, self.port))
        return context.wrap_socket(plain, server_hostname=self.host)

    def send(self, request: bytes) -> bytes:
        """All that comes back over one HTTP/1.1 connection until the edge closes it or has no more to say."""
        with self.connect() as connection:
            return _all(connection, request)

    def send_plain(self, request: bytes, port: int) -> bytes:
        """As `send`, without TLS, to another port of the same address."""
        with socket.create_connection((self.host, port), timeout=ANSWER_SECONDS) as connection:
            return _all(connection, request)

    def http2(
        self,
        fields: Iterable[tuple[str | bytes, str | bytes]],
        body: bytes | None = None,
        trailers: Iterable[tuple[str | bytes, str | bytes]] = (),
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of one HTTP/2 request, whose fields no library looks at; status 0: reset or closed."""
        encoder, trailers = Encoder(), list(trailers)
        head = HeadersFrame(1, data=encoder.encode([(_bytes(name), _bytes(value)) for name, value in fields]), flags=["END_HEADERS"])
        frames: list[Frame] = [head]
        if body is not None:
            frames.append(DataFrame(1, data=body))
        if trailers:
            frames.append(HeadersFrame(1, data=encoder.encode([(_bytes(n), _bytes(v)) for n, v in trailers]), flags=["END_HEADERS"]))
        frames[-1].flags.add("END_STREAM")
        with self.connect("h2") as connection:
            connection.sendall(PREFACE + b"".join(frame.serialize() for frame in [SettingsFrame(0), *frames]))
            return _response(connection)

    @contextlib.contextmanager
    def requests(self) -> Iterator[Requests]:
        """Counts what the apps themselves saw meanwhile: by their own counters, and gRPC calls by those of their sidecars."""
        seen, before, harm = Requests(), self._seen(), self._harm()
        yield seen
        time.sleep(SETTLE_SECONDS)
        seen.count = self._seen() - before
        seen.harm = {name: value - harm.get(name, 0) for name, value in self._harm().items() if value != harm.get(name, 0)}

    def _seen(self) -> int:
        served = [
            _SERVED.findall(self._watch.get(f"http://{address}:{INGRESS_PORT}/metrics").text)
            for service in ("service-1", "service-2")
            for address in self.addresses(service)
        ]
        called = [
            _CALLED.findall(self._watch.get(f"http://{address}:{METRICS_PORT}/stats/prometheus?filter=cluster.app.grpc").text)
            for address in self.addresses("grpc-1")
        ]
        return int(sum(float(value) for page in served + called for value in page))

    def _harm(self) -> dict[str, int]:
        lines = self._watch.get(f"http://{self.machine}:{ADMIN_PORT}/stats?filter={_HARM}").text.splitlines()
        return {name: int(value) for name, _, value in (line.partition(": ") for line in lines)}

    @cached_property
    def _watch(self) -> httpx.Client:
        """Asks machines, past the edge; closed with the process."""
        return httpx.Client(trust_env=False, timeout=10)

    def statistics(self) -> dict[str, str]:
        """The edge's own counters, from its admin, which only its machine reaches."""
        lines = self._watch.get(f"http://{self.machine}:{ADMIN_PORT}/stats").text.splitlines()
        return dict(line.split(": ", 1) for line in lines if ": " in line)

    def held_bytes(self) -> int:
        """The edge's heap now; statistics have it from up to five seconds ago."""
        return int(self._watch.get(f"http://{self.machine}:{ADMIN_PORT}/memory").json()["allocated"])


def pseudo(authority: str, path: str, method: str = "GET") -> list[tuple[str, str]]:
    """The pseudo-headers of a good request."""
    return [(":method", method), (":scheme", "https"), (":authority", authority), (":path", path)]


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


def _all(connection: socket.socket, request: bytes) -> bytes:
    received = b""
    with contextlib.suppress(OSError):
        connection.sendall(request)
        while data := connection.recv(65536):
            received += data
            connection.settimeout(QUIET_SECONDS)
    return received


def _response(connection: ssl.SSLSocket) -> tuple[int, dict[str, str], bytes]:
    decoder, buffer, headers, body = Decoder(), b"", dict[str, str](), b""
    with contextlib.suppress(OSError):
        while data := connection.recv(65536):
            buffer += data
            while len(buffer) >= 9:
                frame, length = Frame.parse_frame_header(memoryview(buffer[:9]))
                if len(buffer) < 9 + length:
                    break
                frame.parse_body(memoryview(buffer[9 : 9 + length]))
                buffer = buffer[9 + length :]
                if isinstance(frame, HeadersFrame):
                    headers |= {str(name): str(value) for name, value in decoder.decode(frame.data)}
                elif isinstance(frame, DataFrame):
                    body += frame.data
                elif isinstance(frame, GoAwayFrame | RstStreamFrame) and not headers:
                    return 0, {}, b""
                if "END_STREAM" in frame.flags and frame.stream_id == 1:
                    return int(headers.get(":status", "0")), headers, body
    return int(headers.get(":status", "0")), headers, body


@contextlib.contextmanager
def listening() -> Iterator[tuple[str, Any]]:
    """A place of the attacker's: its URL, and how to ask whether anybody connected."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.01)

        def asked() -> bool:
            with contextlib.suppress(TimeoutError):
                server.accept()[0].close()
                return True
            return False

        yield f"http://127.0.0.1:{server.getsockname()[1]}/keys", asked


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
