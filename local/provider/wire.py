"""Property bags between the engine's protobuf structs and plain Python values."""

from typing import Any

from google.protobuf import json_format, struct_pb2

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""How the engine writes a string (or any value) that is not known before something else is made (`pulumi.runtime.rpc.UNKNOWN`)."""
SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"
ASSET = "c44067f5952c0a294b673a41bacd8c17"


def to_plain(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Whole numbers become ints, secrets their values; nulls are left out, as the engine treats them as absent."""
    plain = reveal(json_format.MessageToDict(struct))
    if not isinstance(plain, dict):
        raise TypeError(f"a property bag must be an object, not {type(plain).__name__}")
    return plain


def to_struct(properties: dict[str, Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(properties)
    return struct


def reveal(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get(SIGNATURE) == SECRET:
            return reveal(value.get("value"))
        return {key: reveal(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [reveal(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def is_known(value: Any) -> bool:
    """Whether nothing in a value waits for another resource."""
    if isinstance(value, dict):
        return all(is_known(item) for item in value.values())
    if isinstance(value, list):
        return all(is_known(item) for item in value)
    return bool(value != UNKNOWN)
