"""Messages of gRPC as they are on the wire, for clients that have no gRPC."""

import struct
from typing import Any


def framed(message: Any) -> bytes:
    """One message in its frame."""
    data = message.SerializeToString()
    return struct.pack(">BI", 0, len(data)) + data


def frames(body: bytes) -> list[tuple[int, bytes]]:
    """Flag and content of each frame; the flag 0x80 marks gRPC-Web's trailers."""
    found = []
    while body:
        flag, length = struct.unpack(">BI", body[:5])
        found.append((flag, body[5 : 5 + length]))
        body = body[5 + length :]
    return found
