"""The supervisor's HTTP API on its Unix socket: one request a connection, JSON answers.

`GET /status` · `GET /wait?timeout=S[&version=N]` · `GET /machines/<id>/logs[/<service>]` · `POST /stop`

Served by h11 on the machines' own event loop: nothing polls, and no lock is needed.
"""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import h11

READ_LIMIT = 65536
REQUEST_TIMEOUT = 5.0


@dataclass(frozen=True)
class Refusal(Exception):
    """An answer other than 200."""

    status: HTTPStatus
    message: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a route sees."""

    method: str
    path: tuple[str, ...]
    query: dict[str, str]


Handler = Callable[[Request], Awaitable[dict[str, Any]]]


async def serve(listener: socket.socket, handler: Handler) -> asyncio.Server:
    """Serves a handler on a listening Unix socket."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _converse(reader, writer, handler)
        except (ConnectionError, TimeoutError, h11.RemoteProtocolError):
            pass
        finally:
            writer.close()

    return await asyncio.start_unix_server(connected, sock=listener)


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler) -> None:
    connection = h11.Connection(h11.SERVER)
    request = await asyncio.wait_for(_read_request(connection, reader), REQUEST_TIMEOUT)
    try:
        status, content = HTTPStatus.OK, await handler(request)
    except Refusal as refusal:
        status, content = refusal.status, {"error": refusal.message}
    body = json.dumps(content).encode()
    headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
    parts = (h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage())
    writer.writelines([connection.send(part) or b"" for part in parts])
    await writer.drain()


async def _read_request(connection: h11.Connection, reader: asyncio.StreamReader) -> Request:
    request: Request | None = None
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(READ_LIMIT))
        elif isinstance(event, h11.Request):
            target = urlsplit(event.target.decode())
            query = {name: values[-1] for name, values in parse_qs(target.query).items()}
            path = tuple(part for part in target.path.split("/") if part)
            request = Request(method=event.method.decode(), path=path, query=query)
        elif isinstance(event, h11.EndOfMessage) and request is not None:
            return request
        elif isinstance(event, h11.ConnectionClosed):
            raise ConnectionError("the client went away")
