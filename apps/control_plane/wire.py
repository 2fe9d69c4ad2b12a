"""xDS messages as bytes: responses are concatenations of ready pieces, requests are parsed by protobuf.

Fields of a protobuf message may come in any order, so the nonce goes last: all streams in the same state share what is before it,
and mostly the nonce too, since a nonce need only be unique within its stream.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest

from apps.control_plane.snapshot import Resource

LENGTH_DELIMITED = 2
PREFIX_BYTES = 5
"""A gRPC message is preceded by one byte for compression and four for its length."""
MAX_SHARED_NONCES = 8

_VERSION_INFO = 1
_RESOURCES = 2
_TYPE_URL = 4
_NONCE = 5
_REMOVED_RESOURCES = 6
_SOTW_CONTROL_PLANE, _DELTA_CONTROL_PLANE = 6, 7
_CONTROL_PLANE_IDENTIFIER = 1
_DELTA_VERSION, _DELTA_RESOURCE, _DELTA_NAME = 1, 2, 3

parse_sotw = DiscoveryRequest.FromString
parse_delta = DeltaDiscoveryRequest.FromString


@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """One response without its nonce, to be sent to any number of streams."""

    version: str
    body: bytes
    names: frozenset[str]
    """Of the resources that it brings or removes."""
    _framed: dict[int, bytes] = field(default_factory=dict)

    def framed(self, nonce: int) -> bytes:
        """The gRPC message with this nonce."""
        message = self._framed.get(nonce)
        if message is None:
            if len(self._framed) >= MAX_SHARED_NONCES:
                self._framed.clear()
            message = self._framed[nonce] = frame(self.body + _text(_NONCE, str(nonce)))
        return message


def sotw_response(type_url: str, version: str, resources: Iterable[Resource], *, identifier: str = "") -> Response:
    """A `DiscoveryResponse`."""
    resources = list(resources)
    pieces = [_text(_VERSION_INFO, version), *(_bytes(_RESOURCES, one.payload) for one in resources), _text(_TYPE_URL, type_url)]
    if identifier:
        pieces.append(_bytes(_SOTW_CONTROL_PLANE, _text(_CONTROL_PLANE_IDENTIFIER, identifier)))
    return Response(version, b"".join(pieces), frozenset(one.name for one in resources))


def delta_response(type_url: str, version: str, resources: Iterable[Resource], removed: Iterable[str], *, identifier: str = "") -> Response:
    """A `DeltaDiscoveryResponse`."""
    resources = list(resources)
    pieces = [_text(_VERSION_INFO, version), *(_bytes(_RESOURCES, _delta_resource(one)) for one in resources)]
    removed = list(removed)
    pieces += [_text(_TYPE_URL, type_url), *(_text(_REMOVED_RESOURCES, name) for name in removed)]
    if identifier:
        pieces.append(_bytes(_DELTA_CONTROL_PLANE, _text(_CONTROL_PLANE_IDENTIFIER, identifier)))
    return Response(version, b"".join(pieces), frozenset(one.name for one in resources).union(removed))


def frame(message: bytes) -> bytes:
    """An uncompressed gRPC message."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def _delta_resource(resource: Resource) -> bytes:
    return _text(_DELTA_VERSION, resource.version) + _bytes(_DELTA_RESOURCE, resource.payload) + _text(_DELTA_NAME, resource.name)


def _text(number: int, value: str) -> bytes:
    return _bytes(number, value.encode())


def _bytes(number: int, value: bytes) -> bytes:
    return bytes((number << 3 | LENGTH_DELIMITED,)) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
