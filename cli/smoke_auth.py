"""What `./mesh smoke` tries on routes that want a token or a login: refused without, served with one of the stack's own issuer."""

import time
from collections.abc import Mapping
from datetime import timedelta

import httpx

from cli.finding import Finding
from cli.session import Session
from cli.smoke_authorizer import asked
from cli.smoke_door import PATIENCE_SECONDS, PAUSE_SECONDS, Door
from cli.token import LimitedIssuer, request_token
from model.contract import IDENTITY_PREFIX
from model.edge import RouteSpec
from model.identity import is_builtin
from model.spec import MeshSpec, ServiceSpec

PAGE = {"accept": "text/html"}
LIFE = timedelta(minutes=5)

Tokens = Mapping[frozenset[str], str]
"""Scopes → a token of the stack's issuer that has them."""


def tokens(session: Session, mesh: MeshSpec) -> Tokens:
    """A token for each set of scopes that a route requires; empty where the stack's issuer is not its own."""
    if not is_builtin(mesh):
        return {}
    routes = [route for service in mesh.services.values() for route in service.edge_routes.values()]
    wanted = {_scopes(route) for route in routes if route.auth != "public" and not _wants_claims(route)}
    made = {scopes: _token(session, scopes) for scopes in wanted}
    return {scopes: token for scopes, token in made.items() if token}


def token_for(route: RouteSpec, known: Tokens) -> str | None:
    """A token that the route takes, if there is one."""
    return None if _wants_claims(route) else known.get(_scopes(route))


def bearer(token: str) -> dict[str, str]:
    """The header that brings it."""
    return {"authorization": f"Bearer {token}"}


async def guarded(door: Door, mesh: MeshSpec, name: str, route: RouteSpec, known: Tokens) -> list[Finding]:
    """Findings of one route with `auth: jwt` or `login`."""
    what, service = f"{door.name(route.prefix)} → {name}", mesh.services[name]
    found = [await _tried(door, f"{what}, nobody", route.prefix, {}, "401")]
    if route.auth == "login" and known:
        found.append(await _tried(door, f"{what}, a browser", route.prefix, PAGE, f"302 {IDENTITY_PREFIX}/authorize"))
    if token := token_for(route, known):
        found.append(await _with_token(door, mesh, f"{what}, a token", service, route, bearer(token)))
    else:
        found.append(Finding(edge=door.edge, what=f"{what}, a token", expected="200", seen="the stack's issuer gives none for it", ok=None))
    return found


async def _with_token(door: Door, mesh: MeshSpec, what: str, service: ServiceSpec, route: RouteSpec, headers: dict[str, str]) -> Finding:
    if route.authorize and mesh.edge.authorizer:
        return await asked(door, mesh.edge.authorizer, what, service, route, headers)
    return await _tried(door, what, route.prefix, headers, "200")


async def _tried(door: Door, what: str, path: str, headers: dict[str, str], expected: str) -> Finding:
    def show(answer: httpx.Response) -> str:
        place = answer.headers.get("location", "").partition("?")[0].removeprefix(f"https://{door.authority}")
        return f"{answer.status_code} {place}".strip()

    return await door.finding(what, expected, path, show, headers=headers)


def _scopes(route: RouteSpec) -> frozenset[str]:
    return frozenset(route.require.scopes if route.require else [])


def _wants_claims(route: RouteSpec) -> bool:
    return bool(route.require and route.require.claims)


def _token(session: Session, scopes: frozenset[str]) -> str:
    """Nothing where the edge's limits let nobody ask the issuer, also a moment later."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return request_token(session, subject="smoke", audiences=[], scopes=sorted(scopes), life=LIFE)
        except LimitedIssuer:
            if time.monotonic() > end:
                return ""
            time.sleep(PAUSE_SECONDS)
