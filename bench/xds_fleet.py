"""A fleet of ADS clients as cheap as they can be, for measuring a server: one TCP connection each, every response acknowledged.

Frames are written by hand so that the fleet costs less than what it measures. Windows are opened wide once and never refilled.
"""

import asyncio
import struct
import time
from collections.abc import Callable, Sequence
from typing import cast

from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from hpack import Encoder

DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
ACK, END_HEADERS = 1, 4
INITIAL_WINDOW_SIZE = 4
WIDE = 1 << 30
PATHS = {
    "delta": "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
    "sotw": "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
}
Wanted = Sequence[tuple[str, tuple[str, ...]]]


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


class FleetClient(asyncio.Protocol):
    """One proxy; calls `heard` with the type of every response."""

    def __init__(self, node: str, api: str, wanted: Wanted, heard: Callable[[str], None]) -> None:
        self._node, self._api, self._wanted, self._heard = node, api, wanted, heard
        self._names = dict(wanted)
        self._frames, self._messages = b"", b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        headers = [(":method", "POST"), (":scheme", "http"), (":path", PATHS[self._api]), (":authority", "x")]
        headers += [("content-type", "application/grpc"), ("te", "trailers")]
        self._transport.write(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, WIDE))
            + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WIDE))
            + frame(HEADERS, END_HEADERS, 1, Encoder().encode(headers))
        )
        for place, (type_url, names) in enumerate(self._wanted):
            request = (
                DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=names)
                if self._api == "delta"
                else DiscoveryRequest(type_url=type_url, resource_names=names)
            )
            if place == 0:
                request.node.id = self._node
            self._say(request.SerializeToString())

    def _say(self, message: bytes) -> None:
        self._transport.write(frame(DATA, 0, 1, b"\0" + struct.pack(">I", len(message)) + message))

    def data_received(self, data: bytes) -> None:
        self._frames += data
        while len(self._frames) >= 9 and len(self._frames) >= 9 + (size := int.from_bytes(self._frames[:3], "big")):
            kind, flags = self._frames[3], self._frames[4]
            payload, self._frames = self._frames[9 : 9 + size], self._frames[9 + size :]
            if kind == SETTINGS and not flags & ACK:
                self._transport.write(frame(SETTINGS, ACK, 0, b""))
            elif kind == PING and not flags & ACK:
                self._transport.write(frame(PING, ACK, 0, payload))
            elif kind == DATA:
                self._take(payload)

    def _take(self, payload: bytes) -> None:
        self._messages += payload
        while len(self._messages) >= 5 and len(self._messages) >= 5 + (size := int.from_bytes(self._messages[1:5], "big")):
            message, self._messages = self._messages[5 : 5 + size], self._messages[5 + size :]
            if self._api == "delta":
                delta = DeltaDiscoveryResponse.FromString(message)
                type_url, ack = delta.type_url, DeltaDiscoveryRequest(type_url=delta.type_url, response_nonce=delta.nonce)
            else:
                full = DiscoveryResponse.FromString(message)
                type_url = full.type_url
                ack = DiscoveryRequest(
                    type_url=type_url,
                    response_nonce=full.nonce,
                    version_info=full.version_info,
                    resource_names=self._names[type_url],
                )
            self._heard(type_url)
            self._say(ack.SerializeToString())

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            raise exc


class Fleet:
    """All clients; counts what they hear."""

    def __init__(self, api: str, wanted: Wanted) -> None:
        self._api, self._wanted = api, wanted
        self._missing = 0
        self._last = 0.0
        self._complete = asyncio.Event()

    def expect(self, responses: int) -> None:
        """Starts a count."""
        self._missing = responses
        self._complete.clear()

    def _heard(self, _type_url: str) -> None:
        self._missing -= 1
        if self._missing == 0:
            self._last = time.monotonic()
            self._complete.set()

    async def connect(self, host: str, port: int, size: int) -> None:
        """Opens `size` connections at once."""
        loop = asyncio.get_running_loop()
        self.expect(size * len(self._wanted))

        def opener(number: int) -> Callable[[], FleetClient]:
            return lambda: FleetClient(f"service/service-0/i-{number}", self._api, self._wanted, self._heard)

        await asyncio.gather(*(loop.create_connection(opener(number), host, port) for number in range(size)))

    async def last_heard(self, *, within: float) -> float:
        """The monotonic time at which the last expected response came."""
        await asyncio.wait_for(self._complete.wait(), within)
        return self._last
