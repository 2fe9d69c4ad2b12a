"""What `./mesh smoke` tries on routes that take WebSocket: the sample's echo."""

import asyncio

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException

from cli.finding import Finding
from cli.smoke_door import Door, Limited
from model.edge import RouteSpec

TEXT = "HELO"
TIMEOUT_SECONDS = 15.0


async def echoed(door: Door, name: str, route: RouteSpec) -> Finding:
    """A sample says who answers, then echoes."""
    path = f"{route.prefix.rstrip('/')}/ws"
    expected, before = f"an echo of {TEXT}", door.patience.spent
    ok: bool | None
    try:
        answer = await _talk_within_limits(door, path)
        seen = expected if answer == f"[ws] {TEXT}" else answer
        ok = seen == expected
    except Limited as limited:
        seen, ok = str(limited), None
    except (WebSocketException, OSError, TimeoutError) as error:
        seen, ok = f"{type(error).__name__}: {error}".rstrip(": "), False
    what = f"{door.name(path)} → {name}, WebSocket"
    return Finding(edge=door.edge, what=what, expected=expected, seen=seen + door.patience.since(before), ok=ok)


async def _talk_within_limits(door: Door, path: str) -> str:
    waited = 0.0
    while True:
        try:
            return await _talk(door, path)
        except InvalidStatus as error:
            refused = httpx.Response(error.response.status_code, headers=list(error.response.headers.raw_items()))
            if not door.refuses(refused):
                raise
            waited += await door.pause(refused, waited)


async def _talk(door: Door, path: str) -> str:
    place = httpx.URL(door.edge)
    # A context of its own: httpx has told the others to speak HTTP/2.
    verified = door.trust.context(door.edge, door.host)
    url = f"wss://{door.authority}{path}"
    async with asyncio.timeout(TIMEOUT_SECONDS), connect(url, ssl=verified, proxy=None, host=place.host, port=place.port) as socket:
        await socket.recv()
        await socket.send(TEXT)
        return str(await socket.recv())
