"""Short forms for what every builder writes: packed messages, durations, addresses, references to ADS."""

from datetime import timedelta

from envoy.config.core.v3.address_pb2 import Address, SocketAddress
from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.config.core.v3.config_source_pb2 import AggregatedConfigSource, ApiVersion, ConfigSource
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

BUFFER_BYTES = 32768
"""Read and write buffer of a connection, every listener and cluster (Envoy's edge best practices)."""


def pack(message: Message) -> Any:
    """`message` in an Any, by deterministic serialisation: equal messages are equal bytes."""
    packed = Any()
    packed.Pack(message, deterministic=True)
    return packed


def duration(time: timedelta) -> Duration:
    result = Duration()
    result.FromTimedelta(time)
    return result


def seconds(value: float) -> Duration:
    return duration(timedelta(seconds=value))


def address(host: str, port: int) -> Address:
    return Address(socket_address=SocketAddress(address=host, port_value=port))


def over_ads() -> ConfigSource:
    """Says that a resource comes on the node's one ADS stream."""
    return ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)


def set_header(name: str, value: str) -> HeaderValueOption:
    """Sets a header whatever the client sent; `value` is literal text (Envoy would read `%…%` as a command)."""
    return HeaderValueOption(
        header=HeaderValue(key=name, value=value.replace("%", "%%")), append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    )
