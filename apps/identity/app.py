"""The provider's HTTP endpoints, below the issuer's URL."""

import asyncio
import hmac
import re
from typing import Any
from urllib.parse import parse_qs

import structlog
from authlib.oauth2.rfc6749 import OAuth2Error
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from apps.identity import page
from apps.identity.client import GRANTS, SCOPES, EdgeClient, Person
from apps.identity.keys import ALGORITHM, KeyRing
from apps.identity.server import METHODS, Answer, Incoming, Provider
from apps.identity.settings import IdentitySettings
from apps.identity.tokens import Tokens

LARGEST_FORM = 16_384
WRONG_PASSWORD_SECONDS = 0.5
_NAME = re.compile(r"[A-Za-z0-9._@+-]{1,64}")

log = structlog.get_logger()


def create_app(settings: IdentitySettings) -> FastAPI:
    """The provider of these settings; raises MeshError for keys that cannot be used."""
    keys = KeyRing(settings.keys)
    provider = Provider(EdgeClient(settings), Tokens(settings, keys))
    app = FastAPI(title="envoy-mesh identity", openapi_url=None)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/.well-known/openid-configuration")
    async def discovery() -> dict[str, Any]:
        return discovery_document(settings.issuer)

    @app.get("/jwks")
    async def jwks() -> JSONResponse:
        return JSONResponse(keys.published(), headers={"cache-control": "public, max-age=30"})

    @app.get("/authorize")
    async def ask(request: Request) -> Response:
        incoming = _incoming(request, request.url.query)
        try:
            grant = provider.get_consent_grant(incoming)
        except OAuth2Error as error:
            return _response(provider.handle_error_response(incoming, error))
        content = page.login(client=settings.client_id, scope=incoming.scope)
        return HTMLResponse(content, headers=page.headers(grant.redirect_uri))

    @app.post("/authorize")
    async def log_in(request: Request) -> Response:
        incoming = _incoming(request, request.url.query)
        try:
            grant = provider.get_consent_grant(incoming)
        except OAuth2Error as error:
            return _response(provider.handle_error_response(incoming, error))
        form = parse_qs(await _form(request))
        name, password = form.get("username", [""])[0], form.get("password", [""])[0]
        if not _NAME.fullmatch(name) or not hmac.compare_digest(password.encode(), settings.password.get_secret_value().encode()):
            await asyncio.sleep(WRONG_PASSWORD_SECONDS)
            log.warning("login refused")
            content = page.login(client=settings.client_id, scope=incoming.scope, name=name, fault="Name or password is wrong.")
            return HTMLResponse(content, status_code=401, headers=page.headers(grant.redirect_uri))
        log.info("login", name=name)
        return _response(provider.create_authorization_response(incoming, grant_user=Person(subject=name), grant=grant))

    @app.post("/token")
    async def token(request: Request) -> Response:
        return _response(provider.create_token_response(_incoming(request, await _form(request))))

    return app


def discovery_document(issuer: str) -> dict[str, Any]:
    """OpenID Connect Discovery 1.0, §3."""
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/jwks",
        "response_types_supported": ["code"],
        "grant_types_supported": list(GRANTS),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "scopes_supported": list(SCOPES),
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": METHODS,
    }


async def _form(request: Request) -> str:
    """The body as text; a form larger than any of ours counts as empty."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM:
            return ""
    return body.decode(errors="replace")


def _incoming(request: Request, encoded: str) -> Incoming:
    return Incoming(request.method, request.url.path, parse_qs(encoded), request.headers)


def _response(answer: Answer) -> Response:
    headers = {name.lower(): value for name, value in answer.headers}
    if isinstance(answer.body, str):
        return Response(answer.body, status_code=answer.status, headers=headers)
    return JSONResponse(answer.body, status_code=answer.status, headers=headers)
