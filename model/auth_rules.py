"""What must hold between the parts of the config that say who may come; see `rules`."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from model.contract import IDENTITY_PREFIX, LOGIN_CALLBACK
from model.edge import AuthSpec, EdgeSpec, RouteSpec
from model.edge_words import BUILTIN
from model.problems import Problem
from model.spec import ServiceSpec

HTTPS = 443
LOGIN_PREFIX = LOGIN_CALLBACK.rpartition("/")[0]


def check(root: str, edge: EdgeSpec, services: dict[str, ServiceSpec], *, production: bool, nat: str | None) -> Iterator[Problem]:
    """All problems of `edge.auth` and of the routes that ask for it."""
    for name, service in services.items():
        for part, route in service.edge_routes.items():
            place = f"{root}.services.{name}.{part}"
            yield from _route(root, place, route, edge.auth)
    if edge.auth:
        yield from _issuer(f"{root}.edge.auth", edge.auth, production=production)
        yield from _reached(f"{root}.edge.auth", edge.auth, nat=nat)


def _route(root: str, place: str, route: RouteSpec, auth: AuthSpec | None) -> Iterator[Problem]:
    if route.auth != "public" and auth is None:
        fix = f"add {root}.edge.auth with issuer and audiences"
        yield Problem(f"{place}.auth", repr(route.auth), "the edge has no issuer whose tokens it could verify", fix)
    if route.auth == "login" and auth and auth.login is None:
        yield Problem(f"{place}.auth", "'login'", "the edge has no login", f"add {root}.edge.auth.login: {{clientId: …}}, or write `jwt`")
    if route.require and route.auth == "public":
        yield Problem(f"{place}.require", "public", "a public route has no token that could say anything", "add `auth: jwt` or `login`")
    if route.require and not (route.require.scopes or route.require.claims):
        yield Problem(f"{place}.require", "{}", "it requires nothing", "name `scopes` or `claims`, or remove it")
    taken = [(LOGIN_PREFIX, "logins")] if auth and auth.login else []
    taken += [(IDENTITY_PREFIX, "the builtin issuer")] if auth and auth.issuer == BUILTIN else []
    for prefix, owner in taken:
        if route.prefix == prefix or route.prefix.startswith(f"{prefix}/"):
            yield Problem(f"{place}.prefix", repr(route.prefix), f"{prefix} belongs to {owner}", "choose another prefix")


def _issuer(place: str, auth: AuthSpec, *, production: bool) -> Iterator[Problem]:
    written = {"jwks": auth.jwks, "authorizationEndpoint": auth.authorization_endpoint, "tokenEndpoint": auth.token_endpoint}
    if auth.issuer == BUILTIN:
        if production:
            rule = "the builtin issuer lets everybody in who knows one password; production needs an issuer of its own"
            yield Problem(f"{place}.issuer", repr(BUILTIN), rule, "write the URL of your issuer")
        for key, url in written.items():
            if url:
                yield Problem(f"{place}.{key}", repr(url), "the builtin issuer's endpoints are known", "remove it")
        if auth.login and auth.login.client_secret:
            rule = "the builtin issuer's secret is made with the stack"
            yield Problem(f"{place}.login.clientSecret", repr(auth.login.client_secret), rule, "remove it")
    elif auth.login:
        if auth.login.client_secret is None:
            rule = "an issuer gives its client a secret"
            yield Problem(f"{place}.login.clientSecret", "(not set)", rule, "name the SSM parameter that holds it: `/team/oauth-secret`")
        endpoints = (auth.authorization_endpoint, auth.token_endpoint)
        if any(endpoints) != all(endpoints):
            rule = "an issuer without discovery has two endpoints for logins"
            yield Problem(place, "one endpoint", rule, "write both `authorizationEndpoint` and `tokenEndpoint`")
        elif auth.jwks and not all(endpoints):
            rule = "with `jwks` written out nothing is discovered, but logins need two endpoints more"
            yield Problem(f"{place}.jwks", repr(auth.jwks), rule, "write `authorizationEndpoint` and `tokenEndpoint`, or remove `jwks`")
    elif auth.authorization_endpoint or auth.token_endpoint:
        yield Problem(place, "endpoints of logins", "without `login` nobody asks for them", "add `login: {clientId: …}`, or remove them")
    yield from _life(place, auth)
    yield from _headers(place, auth)
    yield from _audiences(place, auth)


def _audiences(place: str, auth: AuthSpec) -> Iterator[Problem]:
    if auth.login and auth.login.client_id in auth.audiences:
        client = auth.login.client_id
        rule = "ID tokens are for the client; as one of the `audiences` it would let them pass for access tokens"
        yield Problem(f"{place}.login.clientId", repr(client), rule, f"give the edge another id, for example `{client}-edge`")
    for index, audience in enumerate(auth.audiences):
        if auth.issuer == BUILTIN and " " in audience:
            yield Problem(f"{place}.audiences[{index}]", repr(audience), "the builtin issuer's audiences are one word each", "write a list")


def _life(place: str, auth: AuthSpec) -> Iterator[Problem]:
    life = auth.token_life
    if life is not None and auth.issuer != BUILTIN:
        rule = "an issuer of your own decides how long its tokens are good"
        yield Problem(f"{place}.tokenLife", f"{life:g}s", rule, "remove it")
    elif life is not None and not life.is_integer():
        yield Problem(f"{place}.tokenLife", f"{life:g}s", "tokens last whole seconds", "write for example `10m`")


def _reached(place: str, auth: AuthSpec, *, nat: str | None) -> Iterator[Problem]:
    if auth.issuer == BUILTIN:
        return
    urls = {"issuer": auth.issuer, "jwks": auth.jwks, "authorizationEndpoint": auth.authorization_endpoint}
    for key, url in {**urls, "tokenEndpoint": auth.token_endpoint}.items():
        if url and urlsplit(url).scheme == "https" and urlsplit(url).port not in (None, HTTPS):
            yield Problem(f"{place}.{key}", repr(url), f"machines call outside on port {HTTPS} alone", "use an issuer at that port")
    if nat == "none" and not auth.jwks:
        rule = "without NAT no control plane reaches the issuer to discover its endpoints; edges have addresses of their own"
        yield Problem(f"{place}.issuer", repr(auth.issuer), rule, "write out `jwks`, and for logins both endpoints")


def _headers(place: str, auth: AuthSpec) -> Iterator[Problem]:
    if "x-jwt-payload" in auth.claims_to_headers:
        rule = "this header holds the whole payload already"
        yield Problem(f"{place}.claimsToHeaders.x-jwt-payload", "x-jwt-payload", rule, "choose another header, such as `x-user`")
