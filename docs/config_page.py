"""The page docs/config.md, made from the fields of `model.spec`: what each key means, its form, default and an example.

A new field appears by itself. A key of a type that this module has no words for shows the type's own name.
"""

import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import annotated_types
import yaml
from pydantic import BaseModel, BeforeValidator, Strict
from pydantic.fields import FieldInfo

from model import words
from model.contract import PROJECT
from model.spec import MeshSpec

REPO = Path(__file__).resolve().parent.parent
ROOT = "mesh"
HEAD = f"""# Stack config

Made from `model/spec.py` by `python -m docs.reference`. Do not edit it by hand.

A stack's config is `Pulumi.<stack>.yaml`. The mesh is the object `{PROJECT}:{ROOT}` in it.
Keys are camelCase. A key that is not listed here is refused. All mistakes are told at once, before the first resource:
each with its place, its value, the rule and the fix. `./mesh preview --stack <stack>` checks a config without credentials.
The rules between values are in `model/rules.py` and `model/edge_rules.py`; `tests/model/test_mistakes.py` shows each message.

The file is read as Pulumi reads it. Two equal keys are refused, as are keys that are not text; `yes`, `on` and `1:30` are text.
Write text that looks like a number or a date in quotes: `version: "18"`.
"""
TIME = "`15s`, `500ms` or `2m`, in whole milliseconds; a plain number is seconds"
WORDS = {str: "text", int: "whole number", float: "number", bool: "`true` or `false`", Any: "anything"}


@dataclass(frozen=True)
class Section:
    """One table of the page: a model at its place in the config."""

    path: str
    model: type[BaseModel]


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_other_keys(), *(line for section in sections() for line in _table(section))])


def sections() -> list[Section]:
    """The parts of the config in the order of the file; a model that stands at several places comes at the first."""
    found: dict[type[BaseModel], Section] = {}
    _walk(Section(ROOT, MeshSpec), found)
    return list(found.values())


def _walk(section: Section, found: dict[type[BaseModel], Section]) -> None:
    if section.model in found:
        return
    found[section.model] = section
    for name, field in section.model.model_fields.items():
        for suffix, model in _models(field.annotation):
            _walk(Section(f"{section.path}.{field.alias or name}{suffix}", model), found)


def _models(annotation: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """The models below an annotation, each with what its place is called: `[]` in a list, `.<name>` in a mapping."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(annotation, type) and origin is None and issubclass(annotation, BaseModel):
        yield "", annotation
    elif origin is typing.Annotated:
        yield from _models(arguments[0])
    elif origin is dict:
        yield from ((f".<name>{suffix}", model) for suffix, model in _models(arguments[1]))
    elif origin in (list, tuple, set, frozenset):
        yield from ((f"[]{suffix}", model) for argument in arguments for suffix, model in _models(argument))
    else:
        yield from (found for argument in arguments for found in _models(argument))


def _other_keys() -> list[str]:
    """Keys beside the mesh: what Pulumi.yaml declares."""
    declared = yaml.safe_load((REPO / "Pulumi.yaml").read_text())["config"]
    rows = [_row("`aws:region`", "text", "required", "the AWS region of the stack, of AWS' standard partition", "`eu-central-1`")]
    for key, entry in declared.items():
        default = f"`{entry['default']!r}`" if entry.get("default") not in (None, "") else "none"
        rows.append(_row(f"`{key}`", str(entry["type"]), default, str(entry["description"]), ""))
    return ["## Keys of the stack file", "", *_head(), *rows, ""]


def _table(section: Section) -> list[str]:
    lines = [f"## `{section.path}`", ""]
    own = section.model.__dict__.get("__doc__")
    if own:
        lines += [_flat(own), ""]
    return [*lines, *_head(), *(_field(section, name, field) for name, field in section.model.model_fields.items()), ""]


def _head() -> list[str]:
    return [_row("key", "form", "default", "meaning", "example"), "|---|---|---|---|---|"]


def _field(section: Section, name: str, field: FieldInfo) -> str:
    key = field.alias or name
    inner = list(dict.fromkeys(model for _, model in _models(field.annotation)))
    meaning = field.description or next((_flat(doc).removesuffix(".") for model in inner if (doc := model.__dict__.get("__doc__"))), "")
    known = {one.model: one.path for one in sections()}
    links = [f"see [`{known[model]}`](#{_anchor(known[model])})" for model in inner]
    examples = ", ".join(f"`{example}`" for example in field.examples or [])
    form = _form(field.annotation, field.metadata)
    return _row(f"`{key}`", form, _default(field), "; ".join(filter(None, [meaning, *links])), examples)


def _form(annotation: Any, metadata: typing.Sequence[Any] = ()) -> str:
    """What a value looks like; a validator of `words` says it in the first sentence of its docstring."""
    for item in metadata:
        if isinstance(item, BeforeValidator):
            return TIME if item.func is words.seconds else _first_sentence(item.func)
    numeric = annotation in (int, float)
    return (" " if numeric else ", ").join(filter(None, [_type(annotation), _bounds(metadata)]))


def _type(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _form(arguments[0], arguments[1:])
    if origin is typing.Literal:
        return " or ".join(f"`{argument}`" for argument in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(argument) for argument in arguments if argument is not types.NoneType)
    if origin is dict:
        return f"mapping of {_type(arguments[0])} to {_type(arguments[1])}"
    if origin in (list, tuple, set, frozenset):
        return f"list of {_type(arguments[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    return WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _bounds(metadata: typing.Sequence[Any]) -> str:
    low = next((item.ge for item in metadata if isinstance(item, annotated_types.Ge)), None)
    high = next((item.le for item in metadata if isinstance(item, annotated_types.Le)), None)
    fewest = next((item.min_length for item in metadata if isinstance(item, annotated_types.MinLen)), 0)
    known = (annotated_types.Ge, annotated_types.Le, annotated_types.MinLen, Strict)
    others = [str(item) for item in metadata if not isinstance(item, known) and type(item).__module__ == "annotated_types"]
    span = f"{low} to {high}" if None not in (low, high) else f"at least {low}" if low is not None else f"at most {high}" if high else ""
    return ", ".join(filter(None, [span, f"at least {fewest} entry" if fewest else "", *others]))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    if isinstance(value, BaseModel):
        return "its defaults"
    if _is_time(field):
        return f"`{value:g}s`"
    return f"`{yaml.safe_dump(_plain(value), default_flow_style=True, width=10**9).removesuffix('...' + chr(10)).strip()}`"


def _is_time(field: FieldInfo) -> bool:
    return any(isinstance(item, BeforeValidator) and item.func is words.seconds for item in field.metadata)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value if isinstance(value, str | int | float | bool) else str(value)


def _first_sentence(function: Callable[..., Any]) -> str:
    text = _flat(function.__doc__ or function.__name__).split(". ")[0].removesuffix(".")
    return text[0].lower() + text[1:] if text.startswith(("A ", "An ")) else text


def _flat(text: str) -> str:
    return " ".join(text.split())


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _anchor(path: str) -> str:
    """The id that GitHub gives a heading: lower case, without punctuation."""
    return "".join(letter for letter in path.lower() if letter.isalnum() or letter in "-_")
