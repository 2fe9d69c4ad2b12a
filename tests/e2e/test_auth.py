"""Tokens on the whole local stack: its own issuer, both edges, guarded routes of a sample service."""

import base64
import json
import signal
import time
from collections.abc import Callable
from typing import Any

import httpx
import psutil
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from model.contract import login_parameter
from tests.e2e.driver import Stack, eventually
from tests.e2e.sight import growth

pytestmark = pytest.mark.e2e

APP = "https://app.example.com"
"""The origin that the stack's config lets read `/orders`."""


def said(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def get(stack: Stack, url: str, headers: dict[str, str]) -> httpx.Response:
    with stack.client(url) as client:
        return client.get(url, headers=headers)


@pytest.fixture(scope="module")
def signed(stack: Stack, urls: list[str]) -> Callable[..., str]:
    """Signs as the stack's issuer does, with its key: a token that is good but for what is given; None takes a claim out."""
    found = stack.aws("ssm").get_parameter(Name=login_parameter("local", "signing-key"), WithDecryption=True)
    own = ECKey.import_key(found["Parameter"]["Value"])
    issuer = get(stack, f"{urls[0]}/identity/.well-known/openid-configuration", {}).json()["issuer"]
    good = {"iss": issuer, "aud": ["mesh"], "sub": "ann", "scope": "orders.read"}

    def make(*, key: Any = own, kid: str | None = None, **claims: Any) -> str:
        now = int(time.time())
        words = {**good, "iat": now, "exp": now + 300, **claims}
        head = {"alg": "ES256", "kid": kid or own.thumbprint()}
        return jwt.encode(head, {name: value for name, value in words.items() if value is not None}, key, algorithms=["ES256"])

    return make


def test_a_token_of_the_stacks_issuer_opens_its_route_and_nothing_more(stack: Stack, urls: list[str], signed: Callable[..., str]) -> None:
    """Acceptance 27, 30, 33, 57."""
    good = said(stack.mesh("token", "--sub", "ann", "--scope", "orders.read", "--scope", "other").stdout.strip())
    for url in urls:
        seen = get(stack, f"{url}/orders/headers", good | {"x-user": "root"})
        assert seen.status_code == 200
        assert seen.json()["headers"]["x-user"] == "ann"
        assert "authorization" not in seen.json()["headers"]
        payload = json.loads(base64.urlsafe_b64decode(seen.json()["headers"]["x-jwt-payload"] + "=="))
        assert payload["sub"] == "ann"
        refused = get(stack, f"{url}/orders/info", said(signed(scope="orders.write")))
        assert (refused.status_code, refused.text) == (403, "RBAC: access denied")
        assert get(stack, f"{url}/service-2/headers", {"x-user": "root"}).json()["headers"].get("x-user") is None
    other = said(stack.mesh("token", "--scope", "orders.read", "--aud", "other").stdout.strip())
    assert get(stack, f"{urls[0]}/orders/info", other).status_code == 403


def test_a_token_is_refused_for_what_is_wrong_with_it(stack: Stack, urls: list[str], edges: list[str], signed: Callable[..., str]) -> None:
    """Acceptance 27, 28, 29, 30, 31, 33."""
    now = int(time.time())
    other = ECKey.generate_key("P-256")
    no_key = "Jwks doesn't have key to match kid or alg from Jwt"
    cases: list[tuple[dict[str, str], int, str]] = [
        ({}, 401, "Jwt is missing"),
        ({"authorization": "Basic x"}, 401, "Jwt is missing"),
        (said(signed(exp=now - 120)), 401, "Jwt is expired"),
        (said(signed(nbf=now + 300)), 401, "Jwt not yet valid"),
        (said(signed(iss="https://evil.example.com")), 401, "Jwt issuer is not configured"),
        (said(signed(aud="other")), 403, "Audiences in Jwt are not allowed"),
        (said(signed(aud=None)), 403, "Audiences in Jwt are not allowed"),
        (said(signed(key=other)), 401, "Jwt verification fails"),
        (said(signed(key=other, kid="unknown")), 401, no_key),
    ]
    good = [said(signed()), said(signed(exp=now - 20))]
    allowed, denied = "http.edge-https.jwt_authn.allowed", "http.edge-https.jwt_authn.denied"
    with growth(edges, allowed, denied) as counted:
        for url in urls:
            with stack.client(url) as client:
                for headers, status, text in cases:
                    answer = client.get("/orders/info", headers=headers)
                    assert (answer.status_code, answer.text) == (status, text)
                    if status == 401:
                        more = "" if text == "Jwt is missing" else ', error="invalid_token"'
                        assert answer.headers["www-authenticate"] == f'Bearer realm="{url}/orders/info"{more}'
                assert [client.get("/orders/info", headers=headers).status_code for headers in good] == [200, 200]
    assert counted == {allowed: len(good) * len(urls), denied: len(cases) * len(urls)}


def test_a_preflight_needs_no_token_and_is_the_edges_to_answer(stack: Stack, urls: list[str], edges: list[str]) -> None:
    """Acceptance 37, 59, 60, 64."""
    asked = {"access-control-request-method": "GET"}
    valid, invalid, bypassed = (
        f"http.edge-https.{name}" for name in ("cors.origin_valid", "cors.origin_invalid", "jwt_authn.cors_preflight_bypassed")
    )
    with growth(edges, valid, invalid, bypassed) as counted, stack.client(urls[0]) as client:
        answer = client.options("/orders/info", headers={"origin": APP, **asked})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, APP)
        assert answer.headers["access-control-allow-methods"] == "GET, POST"
        stranger = client.options("/orders/info", headers={"origin": "https://evil.example.com", **asked})
        assert (stranger.status_code, stranger.headers.get("access-control-allow-origin")) == (200, None)
        refused = client.get("/orders/info", headers={"origin": APP})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, APP)
    assert counted == {valid: 2, invalid: 1, bypassed: 0}


def test_tokens_hold_while_the_issuer_is_away_and_after_it_is_back(stack: Stack, urls: list[str], signed: Callable[..., str]) -> None:
    """Acceptance 39: keys are cached, and the key that signs outlives the process."""

    def status(path: str, token: str = "") -> int:
        return get(stack, f"{urls[0]}{path}", said(token) if token else {}).status_code

    good = signed()
    assert status("/orders/info", good) == 200
    [issuer] = [process for process in stack.processes() if "apps.identity" in process.cmdline()]
    issuer.send_signal(signal.SIGKILL)
    assert status("/orders/info", good) == 200
    took = eventually("the issuer is back", lambda: status("/identity/jwks") == 200, seconds=30)
    print(f"issuer back after {took:.1f} s")
    assert not psutil.pid_exists(issuer.pid) or issuer.status() == psutil.STATUS_ZOMBIE
    assert status("/orders/info", good) == 200
    again = stack.mesh("token", "--scope", "orders.read", "--ttl", "2").stdout.strip()
    assert status("/orders/info", again) == 200
