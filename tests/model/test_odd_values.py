"""No value makes reading a config fail otherwise than by the model's own error: each place of a whole config has each odd one."""

import copy
import types
import typing
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from model.problems import ConfigError, Problem
from model.read import read_mesh
from model.spec import MeshSpec

Place = tuple[str | int, ...]
ODD: list[Any] = ["", " ", "\r\n", "²", "https://a:²", "x" * 300, "9" * 5000, [], {}, [""], {"\r\n": [""]}, None, 10**400, float("nan")]
ODD_KEYS = ["", "\r\n", "\ud800", 1]


def whole(model: type[BaseModel]) -> dict[str, Any]:
    """A mapping with every key of the model, by the examples that the fields give."""
    return {str(field.alias): _value(field.annotation, field.examples) for field in model.model_fields.values()}


def _value(annotation: Any, examples: list[Any] | None) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return whole(annotation)
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return _value(inner[0], examples)
    if origin is list and _is_model(inner[0]):
        return [whole(inner[0])]
    if origin is dict and _is_model(inner[1]):
        return {"web": whole(inner[1])}
    assert examples, f"a field of {annotation} has no example"
    return yaml.safe_load(str(examples[0]).replace("…", "0" * 64))


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Every place of nested mappings and lists, also those that hold others."""
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*place, key)
        yield from places(part, (*place, key))


WHOLE = whole(MeshSpec)


def changed(place: Place, value: Any, *, key: bool) -> dict[str, Any]:
    """The whole config with one value set, or with one key of a mapping replaced."""
    config = copy.deepcopy(WHOLE)
    target: Any = config
    for part in place[:-1]:
        target = target[part]
    if key:
        target[value] = target.pop(place[-1])
    else:
        target[place[-1]] = value
    return config


def mistakes(config: dict[str, Any]) -> list[Problem]:
    """What is wrong with a config; empty where it is accepted. Whatever else reading it raises goes on."""
    try:
        read_mesh(config, region="eu-central-1")
    except ConfigError as error:
        return error.problems
    return []


def test_the_whole_config_has_values_that_rules_between_them_can_see() -> None:
    spec = MeshSpec.model_validate(WHOLE)
    assert spec.edge.auth
    assert spec.edge.auth.login
    assert spec.services["web"].routes[0].require


@pytest.mark.parametrize("place", list(places(WHOLE)), ids=lambda place: ".".join(map(str, place)))
def test_an_odd_value_is_accepted_or_told_of_in_one_legible_line_for_each_mistake(place: Place) -> None:
    configs = [changed(place, value, key=False) for value in ODD]
    if isinstance(place[-1], str):
        configs += [changed(place, key, key=True) for key in ODD_KEYS]
    for config in configs:
        told = [str(problem) for problem in mistakes(config)]
        assert all(line.isprintable() for line in told), told
