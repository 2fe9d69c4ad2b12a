"""The page on hardening lists what the attack suite accepts, in its words."""

from pathlib import Path

from tests.attacks.known import ACCEPTED, H2SPEC

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "hardening.md").read_text()


def rows(below: str) -> list[str]:
    """The table behind these words, without its head."""
    return [line for line in PAGE.partition(below)[2].partition("\n|")[2].split("\n\n")[0].splitlines() if line.startswith("| ")]


def test_every_accepted_attack_is_on_the_page_and_no_other() -> None:
    assert rows("Not refused, and why") == [f"| {family} | {name} | {why} |" for (family, name), why in ACCEPTED.items()]


def test_every_deviation_of_envoy_that_h2spec_finds_is_on_the_page_and_no_other() -> None:
    assert rows("`h2spec` finds") == [f"| {test} | {why} |" for test, why in H2SPEC.items()]
