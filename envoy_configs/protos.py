"""Short forms that every part of a bootstrap needs."""

from datetime import timedelta

from envoy.config.core.v3.address_pb2 import Address, SocketAddress
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

BUFFER_BYTES = 32768
"""Read and write buffer of a connection, every listener and cluster (Envoy's edge best practices)."""


def address(host: str, port: int) -> Address:
    return Address(socket_address=SocketAddress(address=host, port_value=port))


def duration(time: timedelta) -> Duration:
    result = Duration()
    result.FromTimedelta(time)
    return result


def pack(message: Message) -> Any:
    """`message` in an Any, by deterministic serialisation."""
    packed = Any()
    packed.Pack(message, deterministic=True)
    return packed
