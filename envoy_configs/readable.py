"""Protos as YAML: fields in the proto's order, map entries sorted, so that equal messages are equal text."""

from typing import Any

import yaml
from google.protobuf import json_format
from google.protobuf.message import Message

_STRUCTS = frozenset({"json_format", "metadata", "static_layer"})
_MAPS = frozenset({"typed_extension_protocol_options", "typed_per_filter_config", "providers", "requirement_map"})


def as_data(message: Message) -> dict[str, Any]:
    """The message as plain data with Envoy's own field names."""
    data: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return {key: _ordered(value, key) for key, value in data.items()}


def to_yaml(data: object) -> str:
    """Block style, one line a value however long; strings with a placeholder in quotes, whatever will stand in its place."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=10**9, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if "${" in text else None)


_Dumper.add_representer(str, _represent_text)


def _ordered(value: Any, key: str = "", *, sort: bool = False) -> Any:
    below = sort or key in _STRUCTS
    if isinstance(value, dict):
        entries = sorted(value.items()) if below or key in _MAPS else value.items()
        return {name: _ordered(item, name, sort=below) for name, item in entries}
    if isinstance(value, list):
        return [_ordered(item, sort=below) for item in value]
    return value
