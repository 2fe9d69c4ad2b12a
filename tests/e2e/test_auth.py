"""Tokens and logins on the whole local stack: its own issuer, both edges, guarded routes of a sample service."""

import signal
from urllib.parse import urljoin

import httpx
import psutil
import pytest

from tests.e2e.driver import Stack, eventually

pytestmark = pytest.mark.e2e
PAGE = {"accept": "text/html"}


def bearer(stack: Stack, *words: str) -> dict[str, str]:
    return {"authorization": f"Bearer {stack.mesh('token', *words).stdout.strip()}"}


def get(stack: Stack, path: str, headers: dict[str, str], *, edge: int = 0) -> httpx.Response:
    with stack.client(stack.urls[edge]) as client:
        return client.get(path, headers=headers)


def test_a_token_of_the_stacks_issuer_opens_its_route_and_nothing_more(stack: Stack) -> None:
    """27, 30, 33, 57."""
    good = bearer(stack, "--sub", "ann", "--scope", "orders.read", "--scope", "other")
    for edge in range(len(stack.urls)):
        seen = get(stack, "/orders/headers", good | {"x-user": "root"}, edge=edge)
        assert seen.status_code == 200
        assert seen.json()["headers"]["x-user"] == "ann"
        assert "authorization" not in seen.json()["headers"]
    assert get(stack, "/orders/info", {}).status_code == 401
    assert get(stack, "/orders/info", bearer(stack, "--scope", "orders.write")).status_code == 403
    assert get(stack, "/orders/info", bearer(stack, "--scope", "orders.read", "--aud", "other")).status_code == 403
    assert get(stack, "/service-2/headers", {"x-user": "root"}).json()["headers"].get("x-user") is None


def test_a_person_logs_in_at_either_edge_and_out_again(stack: Stack) -> None:
    """40, 42, 45; the password is where the operator finds it."""
    answer = stack.aws("ssm").get_parameter(Name="/envoy-mesh/local/edge/login/password", WithDecryption=True)
    form = {"username": "ann", "password": answer["Parameter"]["Value"]}
    for url in stack.urls:
        with stack.client(url) as browser:
            sent = browser.get("/account/headers?a=1", headers=PAGE)
            assert sent.status_code == 302
            page = urljoin(url, sent.headers["location"])
            assert page.startswith(f"{url}/identity/authorize?"), "a browser stays at the edge where it began"
            assert "<form" in browser.get(page, headers=PAGE).text
            back = browser.post(page, data=form, headers=PAGE)
            assert back.status_code == 302, back.text
            done = browser.get(back.headers["location"], headers=PAGE)
            assert done.headers["location"] == f"{url}/account/headers?a=1"
            assert browser.get(done.headers["location"]).json()["headers"]["x-user"] == "ann"
            assert browser.get("/account/info").status_code == 200
            browser.get("/oauth2/logout", headers=PAGE)
            assert browser.get("/account/info").status_code == 401


def test_tokens_hold_while_the_issuer_is_away_and_after_it_is_back(stack: Stack) -> None:
    """39: keys are cached, and the key that signs outlives the process."""
    good = bearer(stack, "--scope", "orders.read")
    assert get(stack, "/orders/info", good).status_code == 200
    [issuer] = [process for process in stack.processes() if "apps.identity" in process.cmdline()]
    issuer.send_signal(signal.SIGKILL)
    assert get(stack, "/orders/info", good).status_code == 200
    took = eventually("the issuer is back", lambda: get(stack, "/identity/jwks", {}).status_code == 200, seconds=30)
    print(f"issuer back after {took:.1f} s")
    assert not psutil.pid_exists(issuer.pid) or issuer.status() == psutil.STATUS_ZOMBIE
    assert get(stack, "/orders/info", good).status_code == 200
    again = bearer(stack, "--scope", "orders.read", "--ttl", "2")
    assert get(stack, "/orders/info", again).status_code == 200
    assert get(stack, "/identity/.well-known/openid-configuration", {}).json()["issuer"].endswith("/identity")
