"""Who takes part in the bench of the data path: a mesh's edge in full, and the edge with one thing more or less."""

from dataclasses import dataclass, field
from typing import Any

from apps.control_plane.build import Resources
from bench import sidecar, without
from bench.keys import Issuer
from bench.small_mesh import Change

MANY = 1_000_000
"""A limit that is never reached."""
ORIGIN = "https://shop.example.com"
BARE, EDGE, EDGE_TOKEN = "bare front proxy", "edge without config", "edge without config, asked with a token"


def as_built(_resources: Resources) -> None:
    """Changes nothing of what the control plane built."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """An edge with what the stack config says of it."""

    name: str
    edge: dict[str, Any] = field(default_factory=dict)
    """Keys of `edge` in the config."""
    route: dict[str, Any] = field(default_factory=dict)
    """Keys of the route that is asked for."""
    headers: dict[str, str] = field(default_factory=dict)
    """Sent beside the token."""
    token: bool = False
    """Whether it is asked with a token."""
    tls: bool = True
    sidecar: bool = False
    """Whether a service's sidecar stands between the edge and the app."""
    change: Change = as_built
    """Of the edge."""
    sidecar_change: Change = as_built
    mutual_tls: bool = False
    """Whether edge and sidecar speak it to each other."""
    against: str = BARE
    """The contender whose cost it is compared with."""


def whole(keys_url: str) -> list[Contender]:
    """The full edge alone and with a sidecar, a bare edge with a whole or a bare one; asked with a token, as the bare front proxy is."""
    full: dict[str, Any] = {
        "edge": {**_auth(keys_url), "rateLimits": [_limit("client")]},
        "route": {"auth": "jwt", "require": {"scopes": ["orders.read"]}},
        "token": True,
    }
    bare: dict[str, Any] = {"token": True, "tls": False, "sidecar": True}
    routing = bare | {"change": without.all_but_routing}
    return [
        Contender(name="full edge", **full),
        Contender(name="full edge + sidecar", sidecar=True, **full),
        Contender(name="bare edge + sidecar, HTTP/2 between", **routing),
        Contender(
            name="bare edge + sidecar, HTTP/1.1 between",
            change=without.all_of(without.all_but_routing, without.http2_behind),
            **bare,
        ),
        Contender(name="bare edge + sidecar, mutual TLS between", mutual_tls=True, **routing),
        Contender(name="bare edge + bare sidecar, HTTP/2 between", sidecar_change=sidecar.only_routing, **routing),
        Contender(name="bare edge + bare sidecar, mutual TLS between", sidecar_change=sidecar.only_routing, mutual_tls=True, **routing),
    ]


def features(keys_url: str) -> list[Contender]:
    """The edge that no key of the config asks for more, and with one key each."""
    auth = _auth(keys_url)
    return [
        Contender(name=EDGE),
        Contender(name=EDGE_TOKEN, token=True),
        Contender(name="+ jwt", edge=auth, route={"auth": "jwt"}, token=True, against=EDGE_TOKEN),
        Contender(name="+ jwt, on another route", edge=auth, against=EDGE),
        Contender(
            name="+ jwt with require",
            edge=auth,
            route={"auth": "jwt", "require": {"scopes": ["orders.read"]}},
            token=True,
            against=EDGE_TOKEN,
        ),
        Contender(name="+ rate limit by client", edge={"rateLimits": [_limit("client")]}, against=EDGE),
        Contender(name="+ rate limit over all edges", edge={"rateLimits": [_limit("mesh")]}, against=EDGE),
        Contender(name="+ CORS", route={"cors": {"origins": [ORIGIN]}}, headers={"origin": ORIGIN}, against=EDGE),
        Contender(name="+ CSRF", route={"csrf": {}}, against=EDGE),
        Contender(name="+ WebSocket allowed", route={"websocket": True}, against=EDGE),
        Contender(name="+ authorizer, on another route", edge={"authorizer": {"address": "127.0.0.1:9"}}, against=EDGE),
    ]


def parts() -> list[Contender]:
    """The same edge with one part less."""
    return [
        Contender(name="- TLS", change=without.tls, tls=False, against=EDGE),
        Contender(name="- access log", change=without.access_log, against=EDGE),
        Contender(name="- security headers", change=without.security_headers, against=EDGE),
        Contender(name="- hygiene of headers and paths", change=without.hygiene, against=EDGE),
        Contender(name="- retries, circuit breakers", change=without.retries, against=EDGE),
        Contender(name="- timeouts", change=without.timeouts, against=EDGE),
        Contender(name="- HTTP/2 to the service", change=without.http2_behind, against=EDGE),
    ]


def _auth(keys_url: str) -> dict[str, Any]:
    return {"auth": {"issuer": Issuer.url, "jwks": keys_url, "audiences": [Issuer.audience], "claimsToHeaders": {"x-user": "sub"}}}


def _limit(by: str) -> dict[str, Any]:
    return {"requests": MANY, "per": "1s", "by": by}
