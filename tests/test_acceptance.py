"""Acceptance lines and the tests that cite them; see acceptance.md, whose tables this reads."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = (TESTS / "acceptance.md").read_text()
NUMBERS = r"R?\d+(?:(?:, | and | to |–)R?\d+)*"
CITATION = re.compile(rf"[Aa]cceptance ({NUMBERS})")
TIERS = {"envoy": "envoy", "stack": "e2e"}
"""As the page says it, and pytest's marker."""

ROWS = re.findall(rf"^\| ({NUMBERS}) \| (.+?) \|(?: ([a-z, ]+) \|)?$", PAGE, re.M)
HELD = {line: tiers.split(", ") for line, _, tiers in ROWS if tiers}


def lines_of(text: str) -> Iterator[str]:
    """`R1–R3, 24` as R1, R2, R3 and 24."""
    for part in re.split(", | and ", text):
        first, _, last = part.replace(" to ", "–").partition("–")
        letter = "R" if first.startswith("R") else ""
        for number in range(int(first.lstrip("R")), int((last or first).lstrip("R")) + 1):
            yield f"{letter}{number}"


def cited() -> dict[str, dict[str, set[str]]]:
    """Line → marker → tests whose docstring cites it."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for path in TESTS.rglob("test_*.py"):
        module = ast.parse(path.read_text())
        of_module = [
            ast.unparse(one.value) for one in module.body if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "pytestmark"
        ]
        for test in module.body:
            if not isinstance(test, ast.FunctionDef) or not test.name.startswith("test_"):
                continue
            marks = " ".join([*of_module, *map(ast.unparse, test.decorator_list)])
            for citation in CITATION.findall(ast.get_docstring(test) or ""):
                for line in lines_of(citation):
                    for marker in re.findall(r"\b(envoy|e2e|components)\b", marks) or ["unit"]:
                        found[line][marker].add(f"{path.relative_to(TESTS)}::{test.name}")
    return found


CITED = cited()


@pytest.mark.parametrize(("line", "tier"), [(line, tier) for line, tiers in HELD.items() for tier in tiers])
def test_a_line_that_holds_has_a_test_in_each_of_its_tiers(line: str, tier: str) -> None:
    assert CITED[line][TIERS[tier]], f"no test marked {TIERS[tier]} cites `Acceptance {line}`"


def test_tests_cite_no_line_that_the_page_does_not_have() -> None:
    known = {line for numbers, *_ in ROWS for line in lines_of(numbers)}
    assert CITED.keys() - known == set()
