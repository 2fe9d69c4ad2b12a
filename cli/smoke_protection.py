"""What `./mesh smoke` tries of a route's protection, by requests that change nothing: CORS, CSRF, maintenance; and HSTS of the edge."""

import httpx

from cli.finding import Finding
from cli.smoke_door import Door
from model.edge import EdgeSpec, RouteSpec

STRANGER = "https://a-stranger.invalid"
PREFLIGHT = {"access-control-request-method": "GET"}
SECONDS_A_DAY = 86_400


async def protected(door: Door, route: RouteSpec) -> list[Finding]:
    """One finding for each protection that the route has."""

    async def tried(what: str, expected: str, method: str, headers: dict[str, str], shown: str) -> Finding:
        """`shown` is the header of the answer that counts beside its status."""

        def show(answer: httpx.Response) -> str:
            return f"{answer.status_code} {answer.headers.get(shown, '-')}"

        return await door.finding(f"{door.name(route.prefix)}: {what}", expected, route.prefix, show, method=method, headers=headers)

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
    return found


async def strict_transport(door: Door, path: str, config: EdgeSpec) -> list[Finding]:
    """Browsers hear for how long they must use TLS, also with a refusal."""
    if not config.tls.hsts:
        return []
    expected = f"max-age={int(config.tls.hsts.removesuffix('d')) * SECONDS_A_DAY}"
    return [await door.finding("HSTS", expected, path, lambda answer: answer.headers.get("strict-transport-security", "-"))]
