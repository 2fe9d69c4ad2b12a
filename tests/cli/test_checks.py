"""Which tests `./mesh test` runs, and what it makes of pytest's report."""

import xml.etree.ElementTree as ElementTree
from itertools import chain, combinations

import pytest

from cli.checks import SLOW, TIERS, read_report

MARKS = ("components", "envoy", "e2e", "slow")


def report(*cases: str) -> ElementTree.Element:
    return ElementTree.fromstring(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")


PASSED = '<testcase name="a"/>'
FAILED = '<testcase name="b"><failure message="no"/></testcase>'
BROKEN = '<testcase name="c"><error message="no"/></testcase>'


def skipped(reason: str) -> str:
    return f'<testcase name="d"><skipped message="{reason}"/></testcase>'


def test_passed_tests_are_counted() -> None:
    result = read_report(report(PASSED, PASSED), 0)
    assert (result.passed, result.failed, result.skipped, result.complaints) == (2, 0, 0, ())


def test_failures_and_errors_both_count_as_failed() -> None:
    assert read_report(report(PASSED, FAILED, BROKEN), 1).failed == 2


def test_a_tier_without_tests_has_not_passed() -> None:
    assert read_report(report(), 5).complaints == ("no test was collected",)


def test_an_optional_tool_that_is_not_here_may_skip_a_test() -> None:
    result = read_report(report(PASSED, skipped("optional: no Docker")), 0)
    assert result.skipped == 1
    assert not result.complaints


def test_any_other_skip_makes_the_run_fail_and_is_named() -> None:
    assert read_report(report(PASSED, skipped("later")), 0).complaints == ("d was skipped: later",)


def test_a_pytest_that_dies_after_its_tests_has_not_passed() -> None:
    assert read_report(report(PASSED), 3).complaints == ("pytest ended with 3",)


@pytest.mark.parametrize("marks", chain.from_iterable(combinations(MARKS, size) for size in range(5)))
def test_every_test_runs_in_one_tier_and_in_one_only(marks: tuple[str, ...]) -> None:
    tiers = [tier.name for tier in (*TIERS, SLOW) if eval(tier.marker, {name: name in marks for name in MARKS})]
    assert len(tiers) == 1
