"""What changed between two property bags, as paths that the engine can show."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """How a property changed."""

    ADD = "add"
    DELETE = "delete"
    UPDATE = "update"


@dataclass(frozen=True)
class Change:
    """One changed property; `root` is the input it belongs to."""

    path: str
    root: str
    kind: Kind


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """Changed leaves in the order of their names; inputs that start with `__` are the provider's own notes."""
    found: list[Change] = []
    for name in sorted(old.keys() | new.keys()):
        if not name.startswith("__"):
            found += [Change(path, name, kind) for path, kind in _compare(name, old.get(name), new.get(name))]
    return found


def _compare(path: str, old: Any, new: Any) -> Iterator[tuple[str, Kind]]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _compare(_member(path, key), old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            yield from _compare(f"{path}[{index}]", _item(old, index), _item(new, index))
    else:
        yield path, Kind.ADD if old is None else Kind.DELETE if new is None else Kind.UPDATE


def _member(path: str, key: str) -> str:
    return f"{path}.{key}" if key.isidentifier() else f'{path}["{key}"]'


def _item(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else None
