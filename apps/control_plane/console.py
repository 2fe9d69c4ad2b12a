"""The control plane's own HTTP: `/ready`, `/metrics`, `/nodes`. Plain, read-only, for the mesh's machines only."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import h11
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

READ_BYTES = 16 << 10
IDLE_SECONDS = 60.0
MAX_CONNECTIONS = 64


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A status, a body and what it is."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


Page = Callable[[], Answer]


def json_answer(data: object) -> Answer:
    """The data as JSON, readable."""
    return Answer(status=200, body=json.dumps(data, indent=1).encode() + b"\n", content_type="application/json")


def metrics_page(registry: CollectorRegistry) -> Page:
    """All metrics of a registry, as Prometheus reads them."""
    return lambda: Answer(status=200, body=generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class Console:
    """Serves pages in the running event loop; a page is a function without arguments."""

    def __init__(self, pages: Mapping[str, Page]) -> None:
        self._pages = pages
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def start(self, address: str, port: int) -> int:
        """Listens and returns the port."""
        self._server = await asyncio.start_server(self._serve, address, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stops listening and ends open connections."""
        if self._server:
            self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._open) >= MAX_CONNECTIONS:
            writer.close()
            return
        self._open.add(task)
        try:
            with contextlib.suppress(TimeoutError, ConnectionError, asyncio.CancelledError):
                await self._talk(reader, writer)
        finally:
            self._open.discard(task)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        while True:
            try:
                request = await _next_request(connection, reader)
            except h11.RemoteProtocolError as error:
                answer = Answer(status=error.error_status_hint, body=b"bad request\n")
                request = None
            else:
                if request is None:
                    return
                answer = self._answer(request)
            writer.write(_serialise(connection, answer, body=request is None or request.method != b"HEAD"))
            await writer.drain()
            if request is None or connection.our_state is h11.MUST_CLOSE:
                return
            connection.start_next_cycle()

    def _answer(self, request: h11.Request) -> Answer:
        page = self._pages.get(request.target.split(b"?")[0].decode("ascii", "replace"))
        if page is None:
            return Answer(status=404, body=f"no such page; there are {', '.join(sorted(self._pages))}\n".encode())
        if request.method not in (b"GET", b"HEAD"):
            return Answer(status=405, body=b"read-only: use GET\n")
        return page()


async def _next_request(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    """The next request with its body read and dropped; None when the client is done."""
    request: h11.Request | None = None
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await asyncio.wait_for(reader.read(READ_BYTES), IDLE_SECONDS))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.EndOfMessage):
            return request
        elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
            return None


def _serialise(connection: h11.Connection, answer: Answer, *, body: bool) -> bytes:
    headers = [("content-type", answer.content_type), ("content-length", str(len(answer.body)))]
    parts = [connection.send(h11.Response(status_code=answer.status, headers=headers))]
    if body:
        parts.append(connection.send(h11.Data(data=answer.body)))
    parts.append(connection.send(h11.EndOfMessage()))
    return b"".join(part for part in parts if part)
