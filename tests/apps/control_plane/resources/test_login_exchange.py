"""What an edge asks of a token endpoint and what a browser gets of the answer: an issuer that writes down every form it is sent."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from apps.control_plane.model import Issuer, LoginSecrets
from model.contract import LOGIN_CALLBACK, Role

pytestmark = pytest.mark.envoy

KEY = ECKey.generate_key("P-256", {"kid": "k1", "alg": "ES256", "use": "sig"})
CLIENT_SECRET = "secret+of/the client&=%"
LIFE_SECONDS = 900
PAGE = {"accept": "text/html"}


class TokenEndpoint:
    """Gives a token for any code; `refuses` answers 400 as for a code or refresh token that is no longer good."""

    def __init__(self) -> None:
        self.forms: list[list[tuple[str, str]]] = []
        self.kinds: list[str] = []
        self.refuses = False
        self.life = LIFE_SECONDS
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.reply(200, KeySet([KEY]).as_dict(private=False))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                owner.forms.append(parse_qsl(body))
                owner.kinds.append(f"{self.command} {self.headers['content-type']}")
                if owner.refuses:
                    self.reply(400, {"error": "invalid_grant"})
                else:
                    self.reply(
                        200, {"access_token": owner.token(), "expires_in": owner.life, "token_type": "Bearer", "refresh_token": "again"}
                    )

            def reply(self, status: int, data: dict[str, Any]) -> None:
                body = json.dumps(data).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def token(self) -> str:
        now = int(time.time())
        claims = {"iss": self.url, "aud": "mesh", "sub": "ann", "iat": now, "exp": now + 300}
        return jwt.encode({"alg": "ES256", "kid": "k1"}, claims, KEY, algorithms=["ES256"])

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def issuer() -> Iterator[TokenEndpoint]:
    server = TokenEndpoint()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def lab(spec_of: Any, lab_of: Any, issuer: TokenEndpoint) -> Any:
    login = {"clientId": "mesh-edge", "clientSecret": "/team/oauth-secret", "scopes": ["openid"]}
    auth = {"issuer": issuer.url, "audiences": ["mesh"], "claimsToHeaders": {"x-user": "sub"}, "login": login}
    routes = [{"prefix": "/desk", "auth": "login"}]
    lab = lab_of(
        spec_of(edge={"https": 8443, "http": 8080, "auth": auth}, web={"health": {"path": "/health"}, "port": 9080, "routes": routes})
    )
    lab.known = {
        "issuer": Issuer(
            issuer=issuer.url,
            jwks_uri=f"{issuer.url}/jwks",
            authorization_endpoint=f"{issuer.url}/authorize",
            token_endpoint=f"{issuer.url}/token",
        ),
        "login_secrets": LoginSecrets(client_secret=CLIENT_SECRET, cookie_key="key of the cookies, 32 letters.."),
    }
    lab.add(Role.EDGE, "edge")
    lab.add(Role.SERVICE, "web")
    lab.start()
    return lab


@pytest.fixture
def browser(lab: Any, issuer: TokenEndpoint) -> Iterator[httpx.Client]:
    issuer.forms.clear()
    issuer.kinds.clear()
    issuer.refuses, issuer.life = False, LIFE_SECONDS
    with lab.client(headers=PAGE) as client:
        yield client


def begun(browser: httpx.Client) -> tuple[str, dict[str, str]]:
    """A login's state, and the cookies it began with."""
    sent = browser.get("/desk/x?a=1")
    assert sent.status_code == 302
    return parse_qs(urlsplit(sent.headers["location"]).query)["state"][0], dict(browser.cookies)


def set_cookies(response: httpx.Response) -> dict[str, str]:
    return {line.partition("=")[0]: line for line in response.headers.get_list("set-cookie")}


def count(lab: Any, name: str) -> int:
    return int(lab.statistics(lab.endpoints[0].address).get(f"http.edge-https.{name}", "0"))


def test_a_code_is_exchanged_by_a_form_with_the_verifier_of_its_login(lab: Any, issuer: TokenEndpoint, browser: httpx.Client) -> None:
    """Acceptance 43."""
    state, _ = begun(browser)
    browser.get(LOGIN_CALLBACK, params={"code": "a+b/c", "state": state})
    [form], [kind] = issuer.forms, issuer.kinds
    sent = dict(form)
    assert kind == "POST application/x-www-form-urlencoded"
    assert len(sent) == len(form)
    assert 43 <= len(sent.pop("code_verifier")) <= 128
    assert sent == {
        "grant_type": "authorization_code",
        "code": "a+b/c",
        "client_id": "mesh-edge",
        "client_secret": CLIENT_SECRET,
        "redirect_uri": f"https://{lab.endpoints[0].address}:8443{LOGIN_CALLBACK}",
    }


def test_the_cookies_of_a_login_last_as_long_as_its_token_and_do_not_show_it(
    lab: Any, issuer: TokenEndpoint, browser: httpx.Client
) -> None:
    """Acceptance 42, 44; the verified token becomes claim headers, and is not passed on itself."""
    state, began_with = begun(browser)
    back = browser.get(LOGIN_CALLBACK, params={"code": "c", "state": state})
    assert (back.status_code, back.headers["location"]) == (302, f"https://{lab.endpoints[0].address}:8443/desk/x?a=1")
    cookies = set_cookies(back)
    for name in ("OauthHMAC", "OauthExpires", "BearerToken"):
        words = {word.strip().lower() for word in cookies[name].split(";")}
        assert {f"max-age={LIFE_SECONDS}", "path=/", "secure", "httponly"} <= words, cookies[name]
    assert {name for name, line in cookies.items() if line.startswith(f"{name}=deleted;")} == set(began_with)
    head = issuer.token().partition(".")[0]
    assert head not in cookies["BearerToken"]
    seen = browser.get("/desk/x").json()["headers"]
    assert seen["x-user"] == "ann"
    assert "authorization" not in seen


@pytest.mark.parametrize("parameters", [{}, {"code": "c"}, {"state": "…"}, {"error": "access_denied"}, {"code": "c", "state": "e30"}])
def test_a_broken_callback_asks_for_no_token(lab: Any, issuer: TokenEndpoint, browser: httpx.Client, parameters: dict[str, str]) -> None:
    """Acceptance 47."""
    state, _ = begun(browser)
    before = count(lab, "oauth_failure")
    said = {name: state if value == "…" else value for name, value in parameters.items()}
    answer = browser.get(LOGIN_CALLBACK, params=said, headers={"accept": "*/*"})
    assert (answer.status_code, answer.text) == (401, "OAuth flow failed.")
    assert count(lab, "oauth_failure") == before + 1
    assert issuer.forms == []


def test_a_code_that_the_issuer_refuses_logs_nobody_in(lab: Any, issuer: TokenEndpoint, browser: httpx.Client) -> None:
    state, _ = begun(browser)
    issuer.refuses = True
    answer = browser.get(LOGIN_CALLBACK, params={"code": "spent", "state": state}, headers={"accept": "*/*"})
    assert (answer.status_code, answer.text) == (401, "OAuth flow failed.")
    assert "BearerToken" not in set_cookies(answer)


def test_a_refresh_that_fails_is_counted_and_a_login_begins(lab: Any, issuer: TokenEndpoint, browser: httpx.Client) -> None:
    """Acceptance 51."""
    issuer.life = 1
    state, _ = begun(browser)
    browser.get(LOGIN_CALLBACK, params={"code": "c", "state": state})
    before = count(lab, "oauth_refreshtoken_failure")
    issuer.refuses = True
    cookies = {cookie.name: cookie.value or "" for cookie in browser.cookies.jar}
    time.sleep(1.2)
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    with lab.client(headers=PAGE | {"cookie": header}) as later:
        answer = later.get("/desk")
    assert (answer.status_code, urlsplit(answer.headers["location"]).path) == (302, "/authorize")
    assert dict(issuer.forms[-1])["grant_type"] == "refresh_token"
    assert count(lab, "oauth_refreshtoken_failure") == before + 1
