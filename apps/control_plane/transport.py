"""gRPC over the `h2` library on asyncio: moves messages between a connection and the handlers of its streams.

A client that does not read blocks only itself: nothing more is read from it, and handlers see `blocked` and hold back.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from struct import Struct
from typing import Protocol, cast
from urllib.parse import quote

import structlog
from grpc import StatusCode
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from apps.control_plane.tls import spiffe_id_of
from apps.control_plane.wire import PREFIX_BYTES

MAX_MESSAGE = 4 << 20
"""Bytes of the largest request taken; a node message is about 61 KB."""
RECEIVE_WINDOW = 1 << 20
WRITE_HIGH_WATER = 256 << 10
MAX_STREAMS = 100
DATA_FRAME = Struct(">HBBBI")
"""HTTP/2 frame header: 24 bits of length, type (DATA is 0), flags, stream."""
DEAD_PEER_OPTIONS = (
    (socket.TCP_KEEPIDLE, 10),
    (socket.TCP_KEEPINTVL, 5),
    (socket.TCP_KEEPCNT, 3),
    (socket.TCP_USER_TIMEOUT, 25_000),
)
"""Seconds, seconds, probes, milliseconds."""
CONFIG = H2Configuration(client_side=False, header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False)

log = structlog.get_logger()


class Handler(Protocol):
    """What answers one gRPC stream."""

    def on_message(self, message: bytes) -> None: ...

    def on_writable(self) -> None:
        """All that was sent has left; called after `blocked` was seen."""
        ...

    def on_end(self) -> None:
        """The client has said its last message."""
        ...

    def on_close(self) -> None:
        """The stream is gone, for whatever reason; called once."""
        ...


def _notice_dead_peers(connection: socket.socket) -> None:
    """A machine that vanished sends no FIN: let the kernel find out, with and without data under way."""
    for option, value in DEAD_PEER_OPTIONS:
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


Route = Callable[[str, "GrpcStream"], Handler | None]
"""Given a method's path and its stream: the handler, or None for a method that does not exist."""


class GrpcStream:
    """The server's side of one call."""

    __slots__ = ("_connection", "_id", "_inbox", "_outbox", "handler", "is_half_closed")

    def __init__(self, connection: "GrpcConnection", stream_id: int) -> None:
        self._connection = connection
        self._id = stream_id
        self._inbox = bytearray()
        self._outbox: deque[memoryview] = deque()
        self.handler: Handler | None = None
        self.is_half_closed = False

    @property
    def identity(self) -> str | None:
        """The SPIFFE id of the client's certificate; None on a plain connection."""
        return self._connection.identity

    @property
    def blocked(self) -> bool:
        """Whether earlier messages still wait for the client to read."""
        return bool(self._outbox) or self._connection.paused

    def send(self, framed: bytes) -> None:
        """Queues a framed message; what the client's windows do not allow now is sent when they do."""
        if not self._outbox and self._connection.send_at_once(self._id, framed):
            return
        self._outbox.append(memoryview(framed))
        self._connection.pump(self._id, self)

    def finish(self, status: StatusCode, message: str = "") -> None:
        """Ends the call; queued messages are dropped."""
        self._outbox.clear()
        self._connection.finish(self._id, self, status, message)

    def receive(self, data: bytes) -> None:
        """Takes bytes in and hands whole messages on."""
        self._inbox += data
        while self.handler is not None and len(self._inbox) >= PREFIX_BYTES:
            size = int.from_bytes(self._inbox[1:PREFIX_BYTES], "big")
            if self._inbox[0]:
                return self.finish(StatusCode.UNIMPLEMENTED, "compressed messages are not taken: send them with grpc-encoding identity")
            if size > MAX_MESSAGE:
                return self.finish(StatusCode.RESOURCE_EXHAUSTED, f"a message of {size} bytes: at most {MAX_MESSAGE} are taken")
            end = PREFIX_BYTES + size
            if len(self._inbox) < end:
                return None
            message = bytes(self._inbox[PREFIX_BYTES:end])
            del self._inbox[:end]
            self.guard(self.handler.on_message, message)
        return None

    def write_ready(self, h2: H2Connection) -> None:
        """Moves what fits the windows into `h2`."""
        while self._outbox:
            head = self._outbox[0]
            room = min(h2.local_flow_control_window(self._id), h2.max_outbound_frame_size, len(head))
            if room <= 0:
                return
            h2.send_data(self._id, head[:room])
            if room == len(head):
                self._outbox.popleft()
            else:
                self._outbox[0] = head[room:]

    def writable(self) -> None:
        """Tells the handler that it may go on."""
        if self.handler is not None and not self.blocked:
            self.guard(self.handler.on_writable)

    def ended(self) -> None:
        """The client has half-closed."""
        self.is_half_closed = True
        if self.handler is not None:
            self.guard(self.handler.on_end)

    def closed(self) -> None:
        """Lets go of the handler."""
        handler, self.handler = self.handler, None
        self._outbox.clear()
        self._inbox.clear()
        if handler is not None:
            handler.on_close()

    def guard(self, call: Callable[..., None], *args: object) -> None:
        """A handler's mistake ends its own stream only."""
        try:
            call(*args)
        except Exception:
            log.exception("stream handler failed", identity=self.identity)
            self.finish(StatusCode.INTERNAL, "the control plane failed on this request; its log says why")


class GrpcConnection(asyncio.Protocol):
    """One client's connection; `registry` holds every open one."""

    def __init__(self, route: Route, registry: set["GrpcConnection"]) -> None:
        self._route = route
        self._registry = registry
        self._h2 = H2Connection(CONFIG)
        self._streams: dict[int, GrpcStream] = {}
        self._reading = False
        self._leaving = False
        self._gone: asyncio.Future[None] | None = None
        self.paused = False
        self.identity: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        _notice_dead_peers(transport.get_extra_info("socket"))
        self.identity = spiffe_id_of(transport.get_extra_info("peercert"))
        self._h2.local_settings = Settings(
            client=False,
            initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS, SettingCodes.INITIAL_WINDOW_SIZE: RECEIVE_WINDOW},
        )
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(RECEIVE_WINDOW)
        self._flush()
        self._registry.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._registry.discard(self)
        self._drop_streams()
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def _drop_streams(self) -> None:
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.closed()

    def pause_writing(self) -> None:
        self.paused = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self.paused = False
        self._transport.resume_reading()
        self._pump_all()

    def data_received(self, data: bytes) -> None:
        self._reading = True
        try:
            for event in self._h2.receive_data(data):
                self._on_event(event)
        except ProtocolError as error:
            log.info("connection broke the HTTP/2 protocol", identity=self.identity, reason=str(error))
            self._leave()
        finally:
            self._reading = False
            self._flush()
            if self._leaving:
                self._transport.close()

    def _on_event(self, event: events.Event) -> None:
        if isinstance(event, events.DataReceived):
            stream = self._streams.get(event.stream_id)
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if stream is not None:
                stream.receive(event.data)
        elif isinstance(event, events.WindowUpdated | events.RemoteSettingsChanged):
            self._pump_all()
        elif isinstance(event, events.RequestReceived):
            self._on_request(event.stream_id, dict(cast(list[tuple[str, str]], event.headers)))
        elif isinstance(event, events.StreamEnded):
            if (stream := self._streams.get(event.stream_id)) is not None:
                stream.ended()
        elif isinstance(event, events.StreamReset):
            if (stream := self._streams.pop(event.stream_id, None)) is not None:
                stream.closed()
        elif isinstance(event, events.ConnectionTerminated):
            self._leave()

    def _leave(self) -> None:
        """After this `h2` sends nothing more on any stream."""
        self._leaving = True
        self._drop_streams()

    def _on_request(self, stream_id: int, headers: dict[str, str]) -> None:
        if headers[":method"] != "POST" or not headers.get("content-type", "").startswith("application/grpc"):
            self._h2.send_headers(stream_id, [(":status", str(HTTPStatus.UNSUPPORTED_MEDIA_TYPE.value))], end_stream=True)
            return
        stream = GrpcStream(self, stream_id)
        self._streams[stream_id] = stream
        self._h2.send_headers(stream_id, [(":status", "200"), ("content-type", "application/grpc")])
        stream.handler = self._route(headers[":path"], stream)
        if stream.handler is None:
            stream.finish(StatusCode.UNIMPLEMENTED, f"no method {headers[':path']}")

    def send_at_once(self, stream_id: int, framed: bytes) -> bool:
        """Writes a message as one DATA frame past `h2`, which halves the cost of a fan-out; its windows are kept true.

        Not while reading: what `h2` has to say must go out before.
        """
        h2 = self._h2
        peer = h2.streams.get(stream_id)
        size = len(framed)
        if self._reading or self.paused or peer is None or size > h2.max_outbound_frame_size:
            return False
        if size > h2.outbound_flow_control_window or size > peer.outbound_flow_control_window:
            return False
        h2.outbound_flow_control_window -= size
        peer.outbound_flow_control_window -= size
        self._transport.write(DATA_FRAME.pack(size >> 8, size & 0xFF, 0, 0, stream_id) + framed)
        return True

    def pump(self, stream_id: int, stream: GrpcStream) -> None:
        """Sends what may be sent of one stream."""
        if not self.paused:
            stream.write_ready(self._h2)
            self._flush()

    def _pump_all(self) -> None:
        for stream_id, stream in list(self._streams.items()):
            if stream.blocked:
                self.pump(stream_id, stream)
            stream.writable()

    def finish(self, stream_id: int, stream: GrpcStream, status: StatusCode, message: str) -> None:
        """Sends the call's trailers and lets go of it."""
        if self._streams.pop(stream_id, None) is None:
            return
        code = cast(int, status.value[0])
        trailers = [("grpc-status", str(code)), *([("grpc-message", quote(message, safe=" ,;:'\"/()<>=*"))] if message else [])]
        self._h2.send_headers(stream_id, trailers, end_stream=True)
        if not stream.is_half_closed:
            self._h2.reset_stream(stream_id, ErrorCodes.NO_ERROR)
        self._flush()
        stream.closed()

    def shut(self, message: str) -> asyncio.Future[None]:
        """Ends all calls as UNAVAILABLE, which sends clients elsewhere, and closes once that is written; done when it is."""
        self._gone = asyncio.get_running_loop().create_future()
        for stream in list(self._streams.values()):
            stream.finish(StatusCode.UNAVAILABLE, message)
        self._h2.close_connection()
        self._flush()
        self._transport.close()
        return self._gone

    def abort(self) -> None:
        """Drops the connection at once."""
        self._transport.abort()

    def _flush(self) -> None:
        """Within `data_received` all frames go out in one write at its end."""
        if not self._reading and (data := self._h2.data_to_send()):
            self._transport.write(data)
