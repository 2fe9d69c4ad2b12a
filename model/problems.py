"""What is wrong with a stack config, said so that its writer can mend it: place, value, rule, fix.

Errors of pydantic are turned into the same shape; the rule and an example come from the field's own description,
so a field is documented once.
"""

import dataclasses
import difflib
import json
import types
import typing
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

Location = tuple[int | str, ...]
VALUE_LIMIT = 80
"""Longest form of a value that a message repeats, in characters."""
EXAMPLE = ""
"""A fix that only the field knows at which the value stands: its example."""
SAMPLE_KEYS = 2
"""Keys in the example of a mapping all of whose keys may be left out."""


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake: `path` as in `mesh.services.web.port`, the `value` found there, the `rule` it breaks, the `fix`.

    Control characters that the config has in a key or value are written as escapes, so a mistake stays one line.
    """

    path: str
    value: str
    rule: str
    fix: str

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _escaped(getattr(self, field.name)))

    def __str__(self) -> str:
        return f"{self.path} = {self.value}: {self.rule}. Fix: {self.fix}"


class ConfigError(ValueError):
    """All mistakes of one stack config; `problems` is never empty."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(set(problems))
        count = f"{len(self.problems)} mistake{'s' if len(self.problems) > 1 else ''} in the stack config"
        super().__init__("\n".join([f"{count}:", *(f"  {problem}" for problem in self.problems)]))


def broken(rule: str, fix: str) -> PydanticCustomError:
    """An error for validators to raise: keeps rule and fix apart on their way through pydantic."""
    return PydanticCustomError("mesh_rule", "{rule}", {"rule": rule, "fix": fix})


def _escaped(text: str) -> str:
    return text if text.isprintable() else "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def shown(value: object) -> str:
    """A value as a message repeats it: its repr, null and booleans as YAML has them, cut at `VALUE_LIMIT`."""
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= VALUE_LIMIT else text[: VALUE_LIMIT - 1] + "…"


def dotted(root: str, location: Location) -> str:
    """`("services", "web", "routes", 0, "prefix")` as `mesh.services.web.routes[0].prefix`."""
    return root + "".join(f"[{part}]" if isinstance(part, int) else f".{part or repr(part)}" for part in location if part != "[key]")


def suggestion(word: object, known: typing.Iterable[str]) -> str:
    """`did you mean 'replicas'?`, or the list of known words where nothing is near."""
    options = sorted(known)
    near = difflib.get_close_matches(str(word), options, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"use one of: {', '.join(options)}" if options else "remove it"


def problems_of(error: ValidationError, model: type[BaseModel], root: str, prefix: Location = ()) -> list[Problem]:
    """The problems in a pydantic error of `model`, whose own place in the config is `prefix` below `root`."""
    return [_problem(detail, model, root, prefix) for detail in error.errors(include_url=False)]


def problem_of(error: PydanticCustomError, path: str, value: object) -> Problem:
    """The problem in an error of `broken`, for values that stand in no model."""
    context = error.context or {}
    return Problem(path, shown(value), str(context["rule"]), str(context["fix"]))


def _problem(detail: ErrorDetails, model: type[BaseModel], root: str, prefix: Location) -> Problem:
    location = detail["loc"]
    path, value = dotted(root, prefix + location), shown(detail["input"])
    context = detail.get("ctx", {})
    owner, field, annotation = _resolve(model, location)
    fix = _example(field, location)
    if detail["input"] is None and field and not field.is_required() and location[-1] == field.alias:
        fix += ", or remove the key"
    if detail["type"] == "mesh_rule":
        return Problem(path, value, str(context["rule"]), str(context["fix"]) or fix)
    if detail["type"] == "extra_forbidden":
        return Problem(path, value, "this key is not known here", suggestion(location[-1], _keys(owner)))
    if detail["type"] == "missing":
        return Problem(path, "(not set)", "this key is required" + (f": {field.description}" if field else ""), fix)
    if detail["type"] == "model_type":
        return Problem(path, value, f"a mapping is wanted here, of the keys {', '.join(_keys(_model_in(annotation)))}", fix)
    rule = "a mapping is wanted here" if detail["type"] == "dict_type" else detail["msg"][:1].lower() + detail["msg"][1:]
    if detail["type"] == "literal_error" and field:
        fix = suggestion(detail["input"], map(str, typing.get_args(field.annotation)))
    return Problem(path, value, f"{rule} ({field.description})" if field and field.description else rule, fix)


def _example(field: FieldInfo | None, location: Location) -> str:
    if field is None:
        name = next((part for part in reversed(location) if isinstance(part, str) and part != "[key]"), "")
        return f"give `{name}` a value of that kind"
    inner = _model_in(field.annotation)
    example = field.examples[0] if field.examples else _sample(inner) if inner else None
    return f"write for example `{field.alias}: {example}`" if example is not None else f"give `{field.alias}` a value of that kind"


def _sample(model: type[BaseModel]) -> str:
    """A mapping that the model takes: the required keys, else some that have a default, else one that has none."""
    known = [field for field in model.model_fields.values() if field.examples]
    chosen = [field for field in known if field.is_required()]
    chosen = chosen or [field for field in known if field.default not in (None, [], {})][:SAMPLE_KEYS] or known[:1]
    return "{" + ", ".join(f"{field.alias}: {(field.examples or ['…'])[0]}" for field in chosen) + "}"


def _keys(model: type[BaseModel] | None) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _resolve(model: type[BaseModel], location: Location) -> tuple[type[BaseModel] | None, FieldInfo | None, Any]:
    """The model that holds the last named part of `location`, that part's field (None for an unknown key), and what stands there."""
    owner: type[BaseModel] | None = model
    field: FieldInfo | None = None
    annotation: Any = model
    for part in location:
        inner = _model_in(annotation)
        if isinstance(part, str) and inner is not None:
            owner = inner
            field = next((f for name, f in inner.model_fields.items() if part in (name, f.alias)), None)
            annotation = field.annotation if field else None
        elif part != "[key]":
            annotation = _item_type(annotation)
    return owner, field, annotation


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return next(filter(None, map(_model_in, typing.get_args(annotation))), None)
    return None


def _item_type(annotation: Any) -> Any:
    arguments = typing.get_args(annotation)
    return arguments[-1] if arguments else None
