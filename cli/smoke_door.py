"""An edge as `./mesh smoke` asks it: as one host, which SNI and Host name, and with a little patience for the edge's own limits."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from cli.finding import Finding, failure
from cli.trust import Trust, authority, sni

PATIENCE_SECONDS = 2.0
"""A request that a limit refuses waits so long at most; one that would wait longer is not asked again."""
PATIENCE_OF_EDGE_SECONDS = 20.0
"""All waits at one edge together."""
PAUSE_SECONDS = 0.25
TIMEOUT_SECONDS = 15.0
LIMIT, REMAINING, RESET = "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"
LOCAL, SERVICE = "x-local-rate-limit", "x-envoy-ratelimited"
"""On 429 of the edge's own limits, and of a rate limit service."""


class Limited(Exception):
    """A limit that the stack turns on refused the request; which, and for how long."""


@dataclass(kw_only=True)
class Patience:
    """What one edge's limits have cost so far."""

    spent: float = 0.0

    def since(self, before: float) -> str:
        """What to say of the waits since then."""
        return f", after {self.spent - before:g} s for a limit" if self.spent > before else ""


@dataclass(frozen=True, kw_only=True)
class Door:
    """One edge, asked for a domain as `host`, or by its address where that is empty."""

    edge: str
    """Its URL, as the stack's outputs have it."""
    domain: str
    """The one of the routes that are asked, empty for those that name none."""
    host: str
    client: httpx.AsyncClient
    front: Sequence[str]
    """The edges that a request passes from here."""
    trust: Trust
    patience: Patience = field(default_factory=Patience)
    limited: bool = False
    """Whether the stack limits what is asked here: only then a 429 of a limit is as it should be."""

    @property
    def authority(self) -> str:
        """Host and port, as clients say them."""
        return authority(self.edge, self.host)

    def name(self, path: str) -> str:
        """The path as findings say it."""
        return self.domain + path

    async def once(self, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None) -> httpx.Response:
        """One request, whatever answers it."""
        headers = {"host": self.authority, **(headers or {})}
        return await self.client.request(method, path, headers=headers, extensions=sni(self.host))

    async def ask(self, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None) -> httpx.Response:
        """The same; what a limit refuses is asked again for a moment, then raises Limited."""
        waited = 0.0
        while self.refuses(answer := await self.once(path, method=method, headers=headers)):
            waited += await self.pause(answer, waited)
        return answer

    def refuses(self, answer: httpx.Response) -> bool:
        """Whether a limit that the stack turns on refused the request."""
        return self.limited and is_refusal(answer)

    async def pause(self, answer: httpx.Response, waited: float) -> float:
        """Waits a little of the time that the limit asks for and returns how long; raises Limited if that would be too long."""
        reset = max(numbers(answer, RESET), default=TIMEOUT_SECONDS)
        if max(waited, reset) > PATIENCE_SECONDS or self.patience.spent >= PATIENCE_OF_EDGE_SECONDS:
            raise Limited(refusal(answer))
        await asyncio.sleep(PAUSE_SECONDS)
        self.patience.spent += PAUSE_SECONDS
        return PAUSE_SECONDS

    async def finding(
        self,
        what: str,
        expected: str,
        path: str,
        show: Callable[[httpx.Response], str],
        *,
        passes: Callable[[httpx.Response], bool] | None = None,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
    ) -> Finding:
        """One request, and what `show` makes of the answer; without `passes` that must be what is expected."""
        before = self.patience.spent
        try:
            answer = await self.ask(path, method=method, headers=headers)
            seen = show(answer)
            ok: bool | None = passes(answer) if passes else seen == expected
        except Limited as limited:
            seen, ok = str(limited), None
        except httpx.HTTPError as error:
            seen, ok = failure(error), False
        return Finding(edge=self.edge, what=what, expected=expected, seen=seen + self.patience.since(before), ok=ok)


def is_refusal(answer: httpx.Response) -> bool:
    """Whether the edge's own limits, or its rate limit service, refused the request; an app's 429 is none."""
    return answer.status_code == httpx.codes.TOO_MANY_REQUESTS and (LOCAL in answer.headers or SERVICE in answer.headers)


def refusal(answer: httpx.Response) -> str:
    """Such an answer in words."""
    again = max(numbers(answer, RESET), default=0)
    return f"429 of {_whose(answer)}" + (f", again in {again} s" if again else "")


def _whose(answer: httpx.Response) -> str:
    left = dict(zip(numbers(answer, LIMIT), numbers(answer, REMAINING), strict=False))
    if LOCAL not in answer.headers or not left:
        return "the rate limit service"
    # One over all edges charges each request as many tokens as there are edges, and so refuses with some left.
    return f"the limit {min(left, key=lambda limit: left[limit])}"


def numbers(answer: httpx.Response, name: str) -> list[int]:
    """Values of a header of which each kind of limit writes its own (draft 03 of RateLimit headers)."""
    values = (value.partition(",")[0].partition(";")[0].strip() for value in answer.headers.get_list(name))
    return [int(value) for value in values if value.isdigit()]


def status(answer: httpx.Response) -> str:
    """The status alone."""
    return str(answer.status_code)
