"""The judgement itself: a status alone refuses nothing, and the list of what is accepted is neither too long nor too short."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.attacks.attack import Answer, Attack, Ledger, judge
from tests.attacks.edge import Requests
from tests.attacks.known import ACCEPTED

FAMILY, KNOWN = next(iter(ACCEPTED))


class Seen:
    """In the place of an edge: says what its apps saw."""

    def __init__(self, count: int, **harm: int) -> None:
        self._requests = Requests(count=count, harm=harm)

    @contextlib.contextmanager
    def requests(self) -> Iterator[Requests]:
        yield self._requests


def verdict(answer: Answer, seen: Seen, *, name: str = "new", reaches: int = 0) -> Ledger:
    edge: Any = seen
    ledger = Ledger()
    judge(FAMILY, Attack(name=name, how=lambda _: answer, must=(401,), reaches=reaches), edge, ledger)
    return ledger


def test_what_no_app_has_seen_is_refused() -> None:
    assert verdict(Answer(status=401), Seen(0)).refused == {FAMILY: 1}
    assert verdict(Answer(status=401), Seen(1), reaches=1).harmless == {FAMILY: 1}
    assert verdict(Answer(status=200), Seen(1), name=KNOWN).accepted == {FAMILY: [KNOWN]}


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (Answer(status=401), Seen(1)),
        (Answer(status=200), Seen(0)),
        (Answer(status=401, gained="a session"), Seen(0)),
        (Answer(status=401), Seen(0, ejections=1)),
    ],
    ids=["an app has seen it", "another status", "the attacker has what he wanted", "others were harmed"],
)
def test_an_attack_is_not_refused_if(answer: Answer, seen: Seen) -> None:
    with pytest.raises(AssertionError):
        verdict(answer, seen)


def test_an_accepted_attack_that_is_suddenly_refused_has_to_be_taken_off_the_list() -> None:
    with pytest.raises(AssertionError, match="take it off"):
        verdict(Answer(status=401), Seen(0), name=KNOWN)
    assert len(list(verdict(Answer(status=200), Seen(1), name=KNOWN).lines())) == 4
