"""Readiness probes: `http://host:port/path`, `tcp://host:port`, `grpc://host:port[/service]` (grpc.health.v1)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

TIMEOUT = timedelta(seconds=1)
SCHEMES = ("http", "tcp", "grpc")
"""What a label may say; `postgres` is the runner's own."""
POSTGRES_PROTOCOL = 196608
"""Version 3.0 of its protocol."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A question whose answer says whether a program is ready."""

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> "Probe":
        """Reads a label's URL; raises ValueError with the rule."""
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES or not parts.hostname or not parts.port:
            raise ValueError(f"readiness URL {url!r} is not <{'|'.join(SCHEMES)}>://<host>:<port>[/<path>]")
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        return cls(scheme=parts.scheme, host=parts.hostname, port=parts.port, path=path)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}{self.path}"

    async def problem(self) -> str | None:
        """None when ready, else what is wrong."""
        asks = {"http": self._http, "tcp": self._tcp, "grpc": self._grpc, "postgres": self._postgres}
        try:
            async with asyncio.timeout(TIMEOUT.total_seconds()):
                return await asks[self.scheme]()
        except TimeoutError:
            return f"{self} does not answer within {TIMEOUT.total_seconds():g} s"
        except ConnectionRefusedError:
            return f"{self} refuses connections"
        except OSError as error:
            return f"{self}: {error.strerror or error}"

    async def _tcp(self) -> str | None:
        async with self._connection():
            return None

    async def _postgres(self) -> str | None:
        """Asks for a session, as pg_isready does: a server that recovers listens already, but says that it cannot connect now."""
        body = POSTGRES_PROTOCOL.to_bytes(4, "big") + b"user\0postgres\0\0"
        async with self._connection() as (reader, writer):
            writer.write((len(body) + 4).to_bytes(4, "big") + body)
            answer = await reader.read(1024)
        return f"{self} is starting up" if b"C57P03\0" in answer else None if answer else f"{self} says nothing"

    async def _http(self) -> str | None:
        """One request, of which only the status line is read. As the model has it, any status below 500 shows a working app."""
        async with self._connection() as (reader, writer):
            writer.write(f"GET {self.path or '/'} HTTP/1.1\r\nhost: {self.host}:{self.port}\r\nconnection: close\r\n\r\n".encode())
            words = (await reader.readline()).split()
            if len(words) >= 2 and words[0].startswith(b"HTTP/") and b"200" <= words[1] < b"500":
                return None
            return f"{self} answers {words[1].decode() if len(words) >= 2 else 'nothing that is HTTP'}"

    async def _grpc(self) -> str | None:
        """The standard health check over plain HTTP/2; `h2` is cheaper to load than a gRPC runtime."""
        from grpc_health.v1 import health_pb2
        from h2.connection import H2Connection
        from h2.events import DataReceived, StreamEnded, StreamReset

        message = health_pb2.HealthCheckRequest(service=self.path.lstrip("/")).SerializeToString()
        connection = H2Connection()
        connection.initiate_connection()
        headers = {":method": "POST", ":scheme": "http", ":path": "/grpc.health.v1.Health/Check", ":authority": f"{self.host}:{self.port}"}
        connection.send_headers(1, list({**headers, "content-type": "application/grpc", "te": "trailers"}.items()))
        connection.send_data(1, b"\0" + len(message).to_bytes(4, "big") + message, end_stream=True)
        body = b""
        async with self._connection() as (reader, writer):
            writer.write(connection.data_to_send())
            while data := await reader.read(65536):
                for event in connection.receive_data(data):
                    if isinstance(event, DataReceived):
                        body += event.data
                    elif isinstance(event, StreamEnded | StreamReset):
                        answer = health_pb2.HealthCheckResponse.FromString(body[5:])
                        status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
                        return None if status == "SERVING" else f"{self} is {status}"
                writer.write(connection.data_to_send())
        return f"{self} closes the connection"

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            yield reader, writer
        finally:
            writer.close()
