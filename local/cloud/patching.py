"""Replaces attributes of moto's classes and puts them back: every cloud of a process starts from moto's own code and leaves it."""

from collections.abc import Callable
from typing import Any

_originals: dict[tuple[Any, str], Any] = {}
_inherited: dict[tuple[Any, str], bool] = {}
_added: set[tuple[Any, str]] = set()


def replace(owner: Any, name: str, replacement: Any) -> None:
    """Sets `owner.name`; the name must exist, so that a moto which renamed it is noticed at once."""
    original(owner, name)
    setattr(owner, name, replacement)


def wrap(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Sets `owner.name` to what `make` builds around moto's own attribute."""
    setattr(owner, name, make(original(owner, name)))


def add(owner: Any, name: str, value: Any) -> None:
    """Sets `owner.name`, which moto does not have."""
    if (owner, name) not in _added and hasattr(owner, name):
        raise AttributeError(f"moto has a {owner.__name__}.{name} of its own by now; the local cloud is written for moto 5.2.5")
    _added.add((owner, name))
    setattr(owner, name, value)


def restore() -> None:
    """Makes moto what it was; other moto servers of the process are plain again."""
    for (owner, name), value in _originals.items():
        if _inherited.get((owner, name)):
            delattr(owner, name)
        else:
            setattr(owner, name, value)
    for owner, name in _added:
        delattr(owner, name)
    _originals.clear()
    _inherited.clear()
    _added.clear()


def original(owner: Any, name: str) -> Any:
    """Moto's own attribute, also after it was replaced."""
    if (owner, name) not in _originals:
        if not hasattr(owner, name):
            raise AttributeError(f"moto has no {owner.__name__}.{name}; the local cloud is written for moto 5.2.5, install that version")
        _inherited[owner, name] = name not in owner.__dict__
        _originals[owner, name] = owner.__dict__.get(name, getattr(owner, name))
    return _originals[owner, name]
