"""Compose's variable interpolation: `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME-default}`, `${NAME:?message}`, `$$`."""

import re
from collections.abc import Mapping

PATTERN = re.compile(
    r"\$(?:(?P<escaped>\$)"
    r"|(?P<plain>[A-Za-z_][A-Za-z0-9_]*)"
    r"|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<operator>:?[-?])(?P<argument>[^}]*))?\}"
    r"|(?P<bad>))"
)


class InterpolationError(ValueError):
    """A variable that is not set, or text that is no variable."""


def interpolate(text: str, variables: Mapping[str, str], *, place: str) -> str:
    """Replaces the variables in a text; unlike Compose, an unset variable with no default is an error, not empty."""

    def value_of(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        name = match["plain"] or match["name"]
        if name is None:
            raise InterpolationError(f"{place}: {text!r} has a '$' that begins no variable; write '$$' for a dollar sign")
        operator, argument = match["operator"] or "", match["argument"] or ""
        value = variables.get(name)
        if value is not None and not (operator.startswith(":") and value == ""):
            return value
        if operator.endswith("-"):
            return argument
        if operator.endswith("?"):
            raise InterpolationError(f"{place}: {name} is not set: {argument}")
        raise InterpolationError(f"{place}: {name} is not set; machine.env has {', '.join(sorted(variables)) or 'nothing'}")

    return PATTERN.sub(value_of, text)


def interpolate_tree(value: object, variables: Mapping[str, str], *, place: str) -> object:
    """Interpolates every string value of a YAML tree; keys stay as they are."""
    if isinstance(value, str):
        return interpolate(value, variables, place=place)
    if isinstance(value, list):
        return [interpolate_tree(item, variables, place=f"{place}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {key: interpolate_tree(item, variables, place=f"{place}.{key}") for key, item in value.items()}
    return value
