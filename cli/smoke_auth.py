"""What `./mesh smoke` tries on routes that want a token or a login: refused without, served with one of the stack's own issuer."""

from collections.abc import Mapping
from datetime import timedelta

import httpx

from cli.finding import Finding, failure
from cli.session import Session
from cli.token import request_token
from model.contract import IDENTITY_PREFIX
from model.edge import RouteSpec
from model.identity import is_builtin
from model.spec import MeshSpec

PAGE = {"accept": "text/html"}
LIFE = timedelta(minutes=5)


def tokens(session: Session, mesh: MeshSpec) -> dict[str, str]:
    """Prefix → a token that its route takes; empty where the stack's issuer is not its own."""
    if not is_builtin(mesh):
        return {}
    guarded = [route for service in mesh.services.values() for route in service.routes if route.auth != "public"]
    return {route.prefix: _token(session, route) for route in guarded if not (route.require and route.require.claims)}


async def guarded(client: httpx.AsyncClient, edge: str, name: str, route: RouteSpec, known: Mapping[str, str]) -> list[Finding]:
    """Findings of one route with `auth: jwt` or `login`."""
    what = f"{route.prefix} → {name}"
    found = [await _status(client, edge, f"{what}, nobody", route.prefix, {}, "401")]
    if route.auth == "login" and known:
        found.append(await _status(client, edge, f"{what}, a browser", route.prefix, PAGE, f"302 {IDENTITY_PREFIX}/authorize"))
    if token := known.get(route.prefix):
        found.append(await _status(client, edge, f"{what}, a token", route.prefix, {"authorization": f"Bearer {token}"}, "200"))
    else:
        found.append(Finding(edge=edge, what=f"{what}, a token", expected="200", seen="the stack's issuer gives none for it", ok=None))
    return found


async def _status(client: httpx.AsyncClient, edge: str, what: str, path: str, headers: dict[str, str], expected: str) -> Finding:
    try:
        answer = await client.get(path, headers=headers)
        place = answer.headers.get("location", "").partition("?")[0].removeprefix(edge)
        seen = f"{answer.status_code} {place}".strip()
    except httpx.HTTPError as error:
        seen = failure(error)
    return Finding(edge=edge, what=what, expected=expected, seen=seen, ok=seen == expected)


def _token(session: Session, route: RouteSpec) -> str:
    scopes = route.require.scopes if route.require else []
    return request_token(session, subject="smoke", audiences=[], scopes=scopes, life=LIFE)
