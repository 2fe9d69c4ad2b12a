"""What `./mesh smoke` tries on routes that take WebSocket: the sample's echo."""

import asyncio
import ssl

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from cli.finding import Finding
from model.edge import RouteSpec

TEXT = "HELO"
TIMEOUT_SECONDS = 15.0


async def echoed(ca_file: str, edge: str, name: str, route: RouteSpec) -> Finding:
    """A sample says who answers, then echoes."""
    path = f"{route.prefix.rstrip('/')}/ws"
    expected = f"an echo of {TEXT}"
    # A context of its own: httpx has told the others to speak HTTP/2.
    verified = ssl.create_default_context(cafile=ca_file)
    try:
        async with (
            asyncio.timeout(TIMEOUT_SECONDS),
            connect(edge.replace("https://", "wss://", 1) + path, ssl=verified, proxy=None) as socket,
        ):
            await socket.recv()
            await socket.send(TEXT)
            answer = str(await socket.recv())
            seen = expected if answer == f"[ws] {TEXT}" else answer
    except (WebSocketException, OSError, TimeoutError) as error:
        seen = f"{type(error).__name__}: {error}".rstrip(": ")
    return Finding(edge=edge, what=f"{path} → {name}, WebSocket", expected=expected, seen=seen, ok=seen == expected)
