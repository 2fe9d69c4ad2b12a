"""What `./mesh smoke` tries of limits, after everything else, since it spends them: the edge names each, and a small one refuses.

Outer edges limit nothing: through them a route's limits are only looked for in an answer of the edge behind.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import httpx
from joserfc import jws

from cli.finding import Finding, failure
from cli.smoke_auth import Tokens, bearer, token_for
from cli.smoke_door import LIMIT, Door, is_refusal, numbers, status
from model.edge import RateLimitSpec
from model.edge_words import CLAIM_KEY
from model.spec import MeshSpec

SMALL = 10
"""Requests of a limit that is spent to see it refuse; of a larger one only the name in an answer is looked for."""
EVERYWHERE = "the edge"
SHORTEST = 1.0
"""Seconds that refill a limit; a faster one is back before it is seen spent."""


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where limits count: a route, or the whole edge."""

    what: str
    path: str
    limits: Sequence[RateLimitSpec]
    around: Sequence[RateLimitSpec]
    """Limits that requests there meet beside these."""
    token: str | None


async def limits(doors: Mapping[str, Door], mesh: MeshSpec, no_route: str, known: Tokens) -> list[Finding]:
    """One finding for each limit of the edge and of each route; `doors` are one edge's, by host."""
    usual = doors[""]
    outer = len(usual.front) > 1
    found = []
    for host, place in _places(mesh, no_route, known):
        for limit in () if outer and place.what == EVERYWHERE else place.limits:
            small = limit.requests <= SMALL and limit.per >= SHORTEST and not outer
            found.append(await _limited(doors[host], place, limit, small=small))
    if (service := mesh.edge.rate_limit_service) and not outer:
        seen = f"nobody here knows the rules of {service.address}"
        found.append(Finding(edge=usual.edge, what="rate limit service", expected="", seen=seen, ok=None))
    return found


def _places(mesh: MeshSpec, no_route: str, known: Tokens) -> Iterator[tuple[str, _Place]]:
    """Routes first: what they spend is little beside what the edge allows."""
    anywhere = mesh.edge.rate_limits
    by_claim = [limit for limit in anywhere if limit.by.startswith(CLAIM_KEY)]
    others = [limit for limit in anywhere if limit not in by_claim]
    # A claim is known where a route asks for a token.
    claimed = "", _Place(what=EVERYWHERE, path=no_route, limits=by_claim, around=anywhere, token=None)
    for service in mesh.services.values():
        for route in (one for one in service.edge_routes.values() if not one.maintenance):
            host = route.domains[0] if route.domains else ""
            token = token_for(route, known) if route.auth != "public" else None
            yield host, _Place(what=host + route.prefix, path=route.prefix, limits=route.rate_limits, around=anywhere, token=token)
            if token and not claimed[1].token:
                around = [*anywhere, *route.rate_limits]
                claimed = host, _Place(what=EVERYWHERE, path=route.prefix, limits=by_claim, around=around, token=token)
    yield "", _Place(what=EVERYWHERE, path=no_route, limits=others, around=others, token=None)
    yield claimed


async def _limited(door: Door, place: _Place, limit: RateLimitSpec, *, small: bool) -> Finding:
    what = f"{place.what}: {limit.requests} requests per {limit.per:g} s by {limit.by}"

    def finding(expected: str, seen: str, ok: bool | None) -> Finding:
        return Finding(edge=door.edge, what=what, expected=expected, seen=seen, ok=ok)

    if reason := _out_of_reach(place, limit):
        return finding("", reason, None)
    headers = bearer(place.token) if place.token else {}
    expected = f"429 of the limit {limit.requests}" if small else f"limit {limit.requests}"
    try:
        answers = await _at_once(door, place, headers, limit.requests + 1 if small else 1)
        if small and not any(map(is_refusal, answers)):
            # Some came back while these were sent.
            answers += await _at_once(door, place, headers, limit.requests + 1)
    except httpx.HTTPError as error:
        return finding(expected, failure(error), False)
    return finding(expected, *_judged(answers, place, limit, small=small))


async def _at_once(door: Door, place: _Place, headers: Mapping[str, str], count: int) -> list[httpx.Response]:
    return await asyncio.gather(*(door.once(place.path, headers=headers) for _ in range(count)))


def _out_of_reach(place: _Place, limit: RateLimitSpec) -> str:
    """Why nobody here can meet the limit; empty if somebody can."""
    if not limit.by.startswith(CLAIM_KEY):
        return ""
    if place.token is None:
        return "the stack's issuer gives no token for it"
    claim, claims = limit.by.removeprefix(CLAIM_KEY), json.loads(jws.extract_compact(place.token.encode()).payload)
    # A route's limit has a bucket for tokens without the claim, the edge's has none.
    return "" if place.what != EVERYWHERE or isinstance(claims.get(claim), str) else f"the stack's tokens have no {claim}"


def _judged(answers: Sequence[httpx.Response], place: _Place, limit: RateLimitSpec, *, small: bool) -> tuple[str, bool | None]:
    """What was seen, and whether it is the limit; None where another is nearer to its end, whose name hides it."""
    refused = [answer for answer in answers if is_refusal(answer)]
    looked_at = refused if small else answers
    named = set[int]().union(*(numbers(answer, LIMIT) for answer in looked_at))
    others = {one.requests for one in (*place.limits, *place.around)} - {limit.requests}
    if limit.requests in named:
        return (f"429 of the limit {limit.requests}" if small else f"limit {limit.requests}"), True
    if hiding := named & others:
        return f"the limit {' and '.join(map(str, sorted(hiding)))} is nearer to its end", None
    return f"{len(answers)} × {status(answers[-1])}, no such limit", False
