"""What `./mesh smoke` tries of a route's protection, by requests that change nothing: limits, CORS, CSRF, maintenance."""

import httpx

from cli.finding import Finding, failure
from model.edge import EdgeSpec, RouteSpec

STRANGER = "https://a-stranger.invalid"
PREFLIGHT = {"access-control-request-method": "GET"}


async def protected(client: httpx.AsyncClient, edge: str, config: EdgeSpec, route: RouteSpec) -> list[Finding]:
    """One finding for each protection that the route has."""

    async def tried(what: str, expected: str, method: str, headers: dict[str, str], shown: str) -> Finding:
        """`shown` is the header of the answer that counts beside its status."""
        try:
            answer = await client.request(method, route.prefix, headers=headers)
            seen = f"{answer.status_code} {answer.headers.get(shown, '-')}"
        except httpx.HTTPError as error:
            seen = failure(error)
        return Finding(edge=edge, what=f"{route.prefix}: {what}", expected=expected, seen=seen, ok=seen == expected)

    if route.maintenance:
        return [await tried("maintenance", "503 60", "GET", {}, "retry-after")]
    found = []
    if route.cors:
        for origin in (one for one in route.cors.origins if "*" not in one):
            headers = PREFLIGHT | {"origin": origin}
            found.append(await tried(f"CORS of {origin}", f"200 {origin}", "OPTIONS", headers, "access-control-allow-origin"))
        if "*" not in route.cors.origins:
            headers = PREFLIGHT | {"origin": STRANGER}
            found.append(await tried("CORS of a stranger", "200 -", "OPTIONS", headers, "access-control-allow-origin"))
    if route.csrf and route.csrf.enforce:
        found.append(await tried("POST of a stranger's page", "403 14", "POST", {"origin": STRANGER}, "content-length"))
    early = [limit.requests for limit in (*config.rate_limits, *route.rate_limits) if limit.by in ("edge", "client")]
    if early and not any(limit.by == "mesh" or limit.by.startswith("claim:") for limit in (*config.rate_limits, *route.rate_limits)):
        found.append(await _limited(client, edge, route, early))
    return found


async def _limited(client: httpx.AsyncClient, edge: str, route: RouteSpec, limits: list[int]) -> Finding:
    """The answer names one of the route's limits."""
    try:
        seen = (await client.get(route.prefix)).headers.get("x-ratelimit-limit", "no limit")
    except httpx.HTTPError as error:
        seen = failure(error)
    expected = " or ".join(str(limit) for limit in sorted(set(limits)))
    return Finding(edge=edge, what=f"{route.prefix}: rate limit", expected=expected, seen=seen, ok=seen in map(str, limits))
