"""Replaces attributes of moto's classes, remembering what was there, so that every cloud of a process starts from moto's own code."""

from collections.abc import Callable
from typing import Any

_originals: dict[tuple[Any, str], Any] = {}


def replace(owner: Any, name: str, replacement: Any) -> None:
    """Sets `owner.name`; the name must exist, so that a moto which renamed it is noticed at once."""
    original(owner, name)
    setattr(owner, name, replacement)


def wrap(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Sets `owner.name` to what `make` builds around moto's own attribute."""
    setattr(owner, name, make(original(owner, name)))


def original(owner: Any, name: str) -> Any:
    """Moto's own attribute, also after it was replaced."""
    if (owner, name) not in _originals:
        if not hasattr(owner, name):
            raise AttributeError(f"moto has no {owner.__name__}.{name}; the local cloud is written for moto 5.2.5, install that version")
        _originals[owner, name] = owner.__dict__.get(name, getattr(owner, name))
    return _originals[owner, name]
