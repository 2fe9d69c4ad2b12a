"""An attack as a row of a table, its judgement, and the ledger of all that were tried."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.attacks.edge import Edge
from tests.attacks.known import ACCEPTED


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the attacker got; status 0: the connection was closed, or its stream was reset, without an answer."""

    status: int
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    gained: str = ""
    """What the attacker has and should not have, where the status does not say it."""

    @classmethod
    def of(cls, response: httpx.Response, gained: str = "") -> "Answer":
        return cls(status=response.status_code, text=response.text, headers=dict(response.headers), gained=gained)


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One row: how it is made and what must come of it.

    Without `reaches` it must be refused: no app sees a request of it. With `reaches`, as many requests at most are served, and
    the attacker still gains nothing, which `how` finds out. Every status of `must` is a right one. Neither may cost other
    clients a connection behind the edge, or a machine its good name.
    """

    name: str
    how: Callable[[Edge], Answer]
    must: tuple[int, ...]
    reaches: int = 0


@dataclass
class Ledger:
    """Outcomes by family, for the closing summary."""

    refused: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    harmless: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    accepted: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    failed: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def lines(self) -> Iterable[str]:
        """The summary, a line a family."""
        families = sorted({*self.refused, *self.harmless, *self.accepted, *self.failed})
        yield f"{'family':<16}{'attacks':>9}{'refused':>9}{'harmless':>10}{'accepted':>10}{'failed':>8}"
        rows = [
            (
                family,
                self.refused.get(family, 0),
                self.harmless.get(family, 0),
                *(len(of.get(family, ())) for of in (self.accepted, self.failed)),
            )
            for family in families
        ]
        for family, *counts in [*rows, ("all", *(sum(row[column] for row in rows) for column in range(1, 5)))]:
            refused, harmless, accepted, failed = counts
            yield f"{family:<16}{sum(counts):>9}{refused:>9}{harmless:>10}{accepted:>10}{failed:>8}"
        for family in families:
            for name in self.accepted.get(family, ()):
                yield f"accepted: {family}: {name}: {ACCEPTED[family, name]}"


def judge(family: str, attack: Attack, edge: Edge, ledger: Ledger) -> None:
    """Makes the attack and compares; what is accepted must be on the list, and what is on the list must be accepted."""
    ledger.failed[family].append(attack.name)
    with edge.requests() as reached:
        answer = attack.how(edge)
    gained = answer.gained or "nothing"
    seen = f"{family}: {attack.name}: {answer.status} {answer.text[:200]!r}, {reached.count} reached an app, gained: {gained}"
    if (family, attack.name) in ACCEPTED:
        assert reached.count or answer.gained, f"on the list of accepted attacks, and is refused; take it off. {seen}"
        ledger.accepted[family].append(attack.name)
    else:
        assert not answer.gained, seen
        assert answer.status in attack.must, f"{seen}; must be {attack.must}"
        assert reached.count <= attack.reaches, f"{seen}; must be {attack.reaches}"
        assert not reached.harm, f"{seen}; {reached.harm}"
        (ledger.harmless if attack.reaches else ledger.refused)[family] += 1
    ledger.failed[family].remove(attack.name)


def ids(rows: Iterable[Attack]) -> dict[str, Any]:
    """Arguments of `parametrize` for a table."""
    rows = list(rows)
    return {"argnames": "attack", "argvalues": rows, "ids": [row.name for row in rows]}
