"""Whether every healthy instance of a service answers, and nobody else."""

from collections import Counter
from collections.abc import Callable

import httpx

from cli.finding import Finding, failure
from cli.smoke_door import Door, Limited

ROUNDS = 4
"""Requests per instance: enough to meet each in turn."""


async def balanced(door: Door, what: str, path: str, instances: set[str], who: Callable[[httpx.Response], str]) -> Finding:
    """`who` reads from an answer which instance it is of, empty for none.

    Where requests are limited no more are sent than it takes to meet each instance, and those that a limit refused are left out.
    """
    count, before = ROUNDS * max(len(instances), 1), door.patience.spent
    statuses: Counter[str] = Counter()
    met: set[str] = set()
    stopped = ""
    for _ in range(count):
        try:
            answer = await door.ask(path)
        except Limited as limited:
            stopped = str(limited)
            break
        except httpx.HTTPError as error:
            statuses[failure(error)] += 1
            continue
        statuses[str(answer.status_code)] += 1
        if answer.is_success:
            met.add(who(answer))
        if door.limited and met == instances:
            break
    parts = [f"{number} × {status}" for status, number in statuses.items()]
    ok: bool | None = set(statuses) == {"200"} and (met <= instances if stopped else met == instances)
    if stopped and not statuses:
        return Finding(edge=door.edge, what=what, expected="200", seen=stopped, ok=None)
    number = f"{count} × 200" if not door.limited else "200"
    seen = ", ".join([*parts, f"{len(met)} instances", *([f"then {stopped}"] if stopped else [])]) + door.patience.since(before)
    return Finding(edge=door.edge, what=what, expected=f"{number}, {len(instances)} instances", seen=seen, ok=ok)
