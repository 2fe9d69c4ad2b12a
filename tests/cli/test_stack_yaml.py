"""The YAML of a stack file: read as Pulumi reads it, or refused with the place of each mistake."""

import pytest

from cli.stack_yaml import DEEPEST, load
from model.problems import ConfigError, Problem

FILE = "Pulumi.dev.yaml"


def refused(text: str) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        load(text, FILE)
    return caught.value.problems


def mesh(text: str) -> str:
    """A stack file with this line in its mesh, which is line 3."""
    return f"config:\n  envoy-mesh:mesh:\n    {text}\n"


BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{this}: &{this} [{', '.join([f'*{last}'] * 10)}]\n" for last, this in zip("abcdefgh", "bcdefghi", strict=True)
)
MISTAKES = [
    # text, place, value, part of the rule, part of the fix
    ("config: {}\nenvironment: []\nconfig: {}\n", "config", "a mapping (line 3)", "stands at line 1 already", "keep one of them"),
    (mesh("{domain: a.b, domain: c.d}"), "envoy-mesh:mesh.domain", "'c.d' (line 3)", "stands at line 3 already", "keep one of them"),
    (
        mesh("services:\n      web: 1\n      'web': 2"),
        "envoy-mesh:mesh.services.web",
        "2 (line 5)",
        "stands at line 4 already",
        "another name",
    ),
    (mesh("routes: [{a: 1}, {b: 1, b: 2}]"), "envoy-mesh:mesh.routes[1].b", "2 (line 3)", "stands at line 3 already", "keep one of them"),
    (mesh("domain: 2020-01-01"), "envoy-mesh:mesh.domain", "2020-01-01", "reads this as a date", 'in quotes: "2020-01-01"'),
    (mesh("2020-01-01: {}"), "envoy-mesh:mesh.2020-01-01", "a mapping (line 3)", "reads this one as a date", 'in quotes: "2020-01-01"'),
    (mesh("5: web"), "envoy-mesh:mesh.5", "'web' (line 3)", "reads this one as a number", 'in quotes: "5"'),
    (mesh("true: web"), "envoy-mesh:mesh.true", "'web' (line 3)", "reads this one as true or false", 'in quotes: "true"'),
    (mesh("null: {}"), "envoy-mesh:mesh.null", "a mapping (line 3)", "reads this one as null", "a name"),
    (mesh("? [a]\n    : b"), "envoy-mesh:mesh", "line 3", "a key is text, not a list or mapping", "write text"),
    (mesh("a: !!binary aGk="), "envoy-mesh:mesh.a", "aGk=", "not !!binary", "remove the tag"),
    (mesh("a: !!set {b, c}"), "envoy-mesh:mesh.a", "a mapping", "not !!set", "remove the tag"),
    (mesh("a: !own {b: c}"), "envoy-mesh:mesh.a", "a mapping", "not !own", "remove the tag"),
    (mesh("a: -.inf"), "envoy-mesh:mesh.a", "-.inf", "no such number", "finite"),
    (mesh("api: &a {x: [*a]}"), f"{FILE}, line 3", "*a", "inside of what it names", "write the value out"),
    (mesh("a: " + "[" * 3000 + "]" * 3000), f"{FILE}, line 3", "a value", f"{DEEPEST} deep", "take levels out"),
    (BOMB, f"{FILE}, line 6", "a value", "200,000 values at most", "aliases"),
    ("config:\n  a: b: c\n", f"{FILE}, line 2", "'a: b: c'", "mapping values are not allowed here", "needs quotes"),
    ("config: [", f"{FILE}, line 1", "'config: ['", "expected the node content", "mend the line"),
    ("config: {}\n---\nconfig: {}\n", f"{FILE}, line 2", "'---'", "expected a single document", "mend the line"),
    ("config: {}\na: \0\n", f"{FILE}, line 2", r"'\x00'", "no control characters", "remove the character"),
]


@pytest.mark.parametrize(("text", "place", "value", "rule", "fix"), MISTAKES)
def test_a_mistake_is_told_with_place_value_rule_and_fix(text: str, place: str, value: str, rule: str, fix: str) -> None:
    (problem,) = refused(text)
    assert (problem.path, problem.value) == (place, value)
    assert rule in problem.rule
    assert fix in problem.fix


def test_all_mistakes_of_a_file_that_is_yaml_are_told_at_once() -> None:
    text = "config:\n  aws:region: 2020-01-01\n  a:b: {1: x}\n  a:b: 2\n"
    assert [problem.path for problem in refused(text)] == ["a:b", "a:b.1", "aws:region"]


def test_what_yaml_calls_true_otherwise_and_counts_to_sixty_is_text_as_for_pulumi() -> None:
    assert load("[yes, Off, y, 1:30, -1:30:00.5]", FILE) == ["yes", "Off", "y", "1:30", "-1:30:00.5"]
    assert load("[true, False, 90, -1.5, ~]", FILE) == [True, False, 90, -1.5, None]


def test_aliases_and_merges_are_read_and_a_key_beside_a_merge_is_no_second_one() -> None:
    text = "a: &a {x: 1, y: [2]}\nb: {<<: *a, x: 3}\nc: &c {<<: *a, z: 4}\nd: {<<: *c, y: *a}\n"
    one = {"x": 1, "y": [2]}
    assert load(text, FILE) == {"a": one, "b": {**one, "x": 3}, "c": {**one, "z": 4}, "d": {"x": 1, "y": one, "z": 4}}


def test_an_empty_file_has_no_content() -> None:
    assert load("# nothing\n", FILE) is None
