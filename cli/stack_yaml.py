"""Reads a stack file's YAML, and refuses what Pulumi would read as something else than stands there, or not at all.

Pulumi's reader is Go's yaml.v3, for which `yes`, `on` and `1:30` are text; so they are here.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import ReaderError

from model.problems import ConfigError, Location, Problem, dotted, shown

DEEPEST = 50
"""Levels of lists and mappings in each other; the deepest key of a mesh has ten."""
MOST_VALUES = 200_000
"""Values of a file with its aliases written out; a mesh of a thousand services has a tenth of them."""
LINE_END = "\n"
TAG = "tag:yaml.org,2002:"
MERGE = f"{TAG}merge"
PLAIN = {f"{TAG}{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")}
"""What JSON has too, in which Pulumi keeps a config."""
READ_AS = {"int": "a number", "float": "a number", "bool": "true or false", "null": "null", "timestamp": "a date"}


def load(text: str, name: str) -> Any:
    """The content of the file `name`; raises ConfigError with the place of each mistake."""
    try:
        loader = _Loader(text, name)
        node = loader.get_single_node()
        if node is None:
            return None
        if problems := list(_mistakes(node, ())):
            raise ConfigError(problems)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_no_yaml(error, text, name)]) from error
    except ReaderError as error:
        place, value = f"{name}, line {text.count(LINE_END, 0, error.position) + 1}", repr(chr(error.character))
        raise ConfigError([Problem(place, value, "YAML has no control characters", "remove the character")]) from error


class _Loader(yaml.SafeLoader):
    """Refuses while it composes what cannot be walked afterwards: too deep, endless, or too much once aliases are written out."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self._file = name
        self._depth = 0
        self._values = 0
        self._open: set[str] = set()
        self._values_of: dict[str, int] = {}

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        anchor, line = event.anchor, event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) and anchor in self._open:
            raise self._refusal(line, f"*{anchor}", "the alias stands inside of what it names, so it has no end", "write the value out")
        if self._depth == DEEPEST:
            raise self._refusal(line, "a value", f"lists and mappings stand {DEEPEST} deep in each other at most", "take levels out")
        before = self._values
        self._values += self._values_of.get(anchor, 1) if isinstance(event, yaml.AliasEvent) else 1
        if self._values > MOST_VALUES:
            rule = f"a stack file has {MOST_VALUES:,} values at most, its aliases written out"
            raise self._refusal(line, "a value", rule, "take aliases of aliases out")
        if isinstance(event, yaml.AliasEvent):
            return super().compose_node(parent, index)
        self._depth += 1
        self._open |= {anchor} if anchor else set()
        node = super().compose_node(parent, index)
        self._depth -= 1
        self._open -= {anchor}
        if anchor:
            self._values_of[anchor] = self._values - before
        return node

    def _refusal(self, line: int, value: str, rule: str, fix: str) -> ConfigError:
        return ConfigError([Problem(f"{self._file}, line {line}", value, rule, fix)])


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """First character of an unquoted text → what it may be."""
    found = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != f"{TAG}bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    for first in "tTfF":
        found[first] = [(f"{TAG}bool", re.compile(r"(true|True|TRUE|false|False|FALSE)$")), *found.get(first, [])]
    for first in "+-0123456789":
        found[first] = [(f"{TAG}str", re.compile(r"[-+]?[0-9][0-9_]*(:[0-9]+)+(\.[0-9_]*)?$")), *found[first]]
    return found


_Loader.yaml_implicit_resolvers = _resolvers()


def _mistakes(node: Node, place: Location) -> Iterator[Problem]:
    if isinstance(node, MappingNode):
        yield from _key_mistakes(node, place)
        for key, value in node.value:
            yield from _mistakes(value, (*place, str(key.value)))
    elif isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            yield from _mistakes(item, (*place, index))
    if node.tag == f"{TAG}timestamp":
        rule = "YAML reads this as a date, which reaches Pulumi as another text than stands here"
        yield Problem(_path(place), str(node.value), rule, f'put it in quotes: "{node.value}"')
    elif node.tag not in PLAIN:
        rule = f"a value is text, a number, true or false, a list or a mapping, not {node.tag.replace(TAG, '!!')}"
        yield Problem(_path(place), _shown(node), rule, "put it in quotes, or remove the tag")
    elif node.tag == f"{TAG}float" and re.search("inf|nan", node.value, re.IGNORECASE):
        yield Problem(_path(place), str(node.value), "JSON, in which Pulumi keeps a config, has no such number", "write a finite number")


def _key_mistakes(mapping: MappingNode, place: Location) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for key, value in mapping.value:
        line = key.start_mark.line + 1
        if not isinstance(key, ScalarNode):
            yield Problem(_path(place), f"line {line}", "a key is text, not a list or mapping", "write text, or put the key in quotes")
            continue
        if key.tag == MERGE:
            continue
        path = _path((*place, key.value))
        if key.tag == f"{TAG}null":
            yield Problem(path, f"{_shown(value)} (line {line})", "a key is text; YAML reads this one as null", "give the key a name")
        elif key.tag != f"{TAG}str":
            what = READ_AS.get(key.tag.removeprefix(TAG), key.tag)
            fix = f'put it in quotes: "{key.value}"'
            yield Problem(path, f"{_shown(value)} (line {line})", f"a key is text; YAML reads this one as {what}", fix)
        if key.value in first:
            rule = f"this key stands at line {first[key.value]} already, and one of the two would be lost"
            yield Problem(path, f"{_shown(value)} (line {line})", rule, "keep one of them, or give it another name")
        first.setdefault(key.value, line)


def _path(place: Location) -> str:
    """As messages about the config name it: without the `config` around everything."""
    inner = place[1:] if len(place) > 1 and place[0] == "config" else place
    return dotted(str(inner[0]), inner[1:]) if inner else "top level"


def _shown(node: Node) -> str:
    if isinstance(node, ScalarNode):
        return shown(node.value) if node.tag == f"{TAG}str" else str(node.value or "null")
    return "a mapping" if isinstance(node, MappingNode) else "a list"


def _no_yaml(error: yaml.MarkedYAMLError, text: str, name: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line = mark.line if mark else 0
    found = [*text.splitlines(), ""][min(line, len(text.splitlines()))].strip()
    rule = "this is not YAML: " + ", ".join(filter(None, (error.context, error.problem)))
    fix = "mend the line or the one before it; text with `: `, ` #` or a leading one of `{[*&!%@` in it needs quotes"
    return Problem(f"{name}, line {line + 1}", shown(found) if found else "(empty)", _one_line(rule), fix)


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
