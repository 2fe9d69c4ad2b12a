from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class InfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("count", "interval_ms")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    count: int
    interval_ms: int
    def __init__(self, count: _Optional[int] = ..., interval_ms: _Optional[int] = ...) -> None: ...

class InfoReply(_message.Message):
    __slots__ = ("service", "instance_id", "zone", "address", "request_id", "via", "database_version", "sequence")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    ZONE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VIA_FIELD_NUMBER: _ClassVar[int]
    DATABASE_VERSION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    service: str
    instance_id: str
    zone: str
    address: str
    request_id: str
    via: _containers.RepeatedScalarFieldContainer[str]
    database_version: str
    sequence: int
    def __init__(self, service: _Optional[str] = ..., instance_id: _Optional[str] = ..., zone: _Optional[str] = ..., address: _Optional[str] = ..., request_id: _Optional[str] = ..., via: _Optional[_Iterable[str]] = ..., database_version: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...
