"""Logins at a real edge against the built-in provider as a process of its own: acceptance 40–51."""

import base64
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from joserfc.jwk import ECKey

from apps.control_plane.model import Issuer, LoginSecrets
from apps.control_plane.resources.login import COOKIE_KEY
from model.contract import Role

HTTP = {"health": {"path": "/health"}, "port": 9080}
CLIENT_SECRET = "secret of the client, 32 letters"
PASSWORD = "password of everybody"
PAGE = {"accept": "text/html,application/xhtml+xml"}
ANY = {"accept": "*/*"}
"""Gets Envoy's own words instead of a page."""
LOGIN = {"clientId": "mesh-edge", "clientSecret": "/team/oauth-secret", "scopes": ["openid", "orders.read"]}
envoy = pytest.mark.envoy


def edge_of(issuer: str, **login: Any) -> dict[str, Any]:
    auth: dict[str, Any] = {"issuer": issuer, "audiences": ["mesh"], "claimsToHeaders": {"x-user": "sub"}, "login": LOGIN | login}
    return {"https": 8443, "http": 8080, "auth": auth}


@pytest.fixture(scope="module")
def lab(spec_of: Any, lab_of: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    issuer = f"http://127.0.0.1:{port}"
    routes = [
        {"prefix": "/desk", "auth": "login"},
        {"prefix": "/orders", "auth": "login", "require": {"scopes": ["orders.read"]}},
        {"prefix": "/vault", "auth": "login", "require": {"scopes": ["vault.open"]}},
        {"prefix": "/public"},
        {"prefix": "/api", "auth": "jwt"},
    ]
    lab = lab_of(spec_of(edge=edge_of(issuer), web=HTTP | {"routes": routes}))
    edge = lab.add(Role.EDGE, "edge")
    lab.add(Role.SERVICE, "web")
    lab.edits[lab.add(Role.EDGE, "edge")] = another_cookie_key
    lab.known = {
        "issuer": Issuer(
            issuer=issuer, jwks_uri=f"{issuer}/jwks", authorization_endpoint=f"{issuer}/authorize", token_endpoint=f"{issuer}/token"
        ),
        "login_secrets": LoginSecrets(client_secret=CLIENT_SECRET, cookie_key="key of the cookies, 32 letters.."),
    }
    keys = tmp_path_factory.mktemp("identity") / "keys.pem"
    keys.write_bytes(ECKey.generate_key("P-256").as_pem(private=True))
    provider = start_provider(issuer, port, keys, f"https://{edge}:8443/oauth2/callback")
    try:
        lab.start()
        lab.issuer = issuer
        yield lab
    finally:
        provider.terminate()
        provider.wait(20)


def another_cookie_key(config: Bootstrap) -> None:
    (secret,) = (one for one in config.static_resources.secrets if one.name == COOKIE_KEY)
    secret.generic_secret.secret.inline_string = "another key of cookies, 32 letters"


def start_provider(issuer: str, port: int, keys: Path, redirect: str) -> "subprocess.Popen[bytes]":
    env = {
        **os.environ,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "IDENTITY_ISSUER": issuer,
        "IDENTITY_KEYS": str(keys),
        "IDENTITY_AUDIENCES": "mesh",
        "IDENTITY_CLIENT_ID": "mesh-edge",
        "IDENTITY_CLIENT_SECRET": CLIENT_SECRET,
        "IDENTITY_PASSWORD": PASSWORD,
        "IDENTITY_REDIRECTS": redirect,
        "IDENTITY_TOKEN_SECONDS": "3",
    }
    process = subprocess.Popen([sys.executable, "-m", "apps.identity"], env=env)
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(f"{issuer}/health").status_code == 200:
                return process
        except httpx.TransportError:
            time.sleep(0.05)
    process.kill()
    raise AssertionError("the provider does not start")


@pytest.fixture
def browser(lab: Any) -> Iterator[httpx.Client]:
    with lab.client(headers=PAGE) as client:
        yield client


def returned(browser: httpx.Client, authorize: str, *, name: str = "ann") -> str:
    """Fills in the login page; where the issuer sends the browser then."""
    page = httpx.get(authorize)
    assert "<form" in page.text
    answer = httpx.post(authorize, data={"username": name, "password": PASSWORD})
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def logged_in(browser: httpx.Client, path: str = "/desk/x?a=1", *, name: str = "ann") -> httpx.Response:
    sent = browser.get(path)
    assert sent.status_code == 302, sent.text
    back = browser.get(returned(browser, sent.headers["location"], name=name))
    assert back.status_code == 302, back.text
    return back


def count(lab: Any, name: str) -> int:
    return int(lab.statistics(lab.endpoints[0].address).get(f"http.edge-https.{name}", "0"))


def cookies_of(response: httpx.Response) -> dict[str, str]:
    """Set-Cookie headers by name."""
    return {line.partition("=")[0]: line for line in response.headers.get_list("set-cookie")}


@envoy
def test_a_browser_without_cookies_is_sent_to_the_issuer(lab: Any, browser: httpx.Client) -> None:
    """Acceptance 40, 41, 51."""
    before = count(lab, "oauth_unauthorized_rq")
    answer = browser.get("/desk/x?a=1&b=%20")
    assert answer.status_code == 302
    location = urlsplit(answer.headers["location"])
    assert location._replace(query="").geturl() == f"{lab.issuer}/authorize"
    names = [pair.partition("=")[0] for pair in location.query.split("&")]
    assert names == ["client_id", "code_challenge", "code_challenge_method", "redirect_uri", "response_type", "scope", "state"]
    query = {name: values[0] for name, values in parse_qs(location.query).items()}
    edge = f"https://{lab.endpoints[0].address}:8443"
    assert (query["client_id"], query["code_challenge_method"], query["response_type"]) == ("mesh-edge", "S256", "code")
    assert query["redirect_uri"] == f"{edge}/oauth2/callback"
    assert "scope=openid%20orders.read" in location.query
    state = json.loads(base64.urlsafe_b64decode(query["state"] + "=="))
    assert state["url"] == f"{edge}/desk/x?a=1&b=%20"
    assert {"csrf_token", "flow_id"} <= state.keys()
    cookies = cookies_of(answer)
    for name in (f"OauthNonce.{state['flow_id']}", f"CodeVerifier.{state['flow_id']}", "OauthNonce", "CodeVerifier"):
        for word in ("path=/", "Max-Age=600", "secure", "HttpOnly", "SameSite=Lax"):
            assert word.lower() in cookies[name].lower(), cookies[name]
    assert count(lab, "oauth_unauthorized_rq") == before + 1


@envoy
def test_a_login_returns_to_the_page_and_the_service_learns_who_it_is(lab: Any, browser: httpx.Client) -> None:
    """Acceptance 42, 43, 44."""
    before = count(lab, "oauth_success")
    back = logged_in(browser, "/desk/x?a=1")
    assert back.headers["location"] == f"https://{lab.endpoints[0].address}:8443/desk/x?a=1"
    cookies = cookies_of(back)
    for name in ("OauthHMAC", "OauthExpires", "BearerToken"):
        assert "secure" in cookies[name].lower()
        assert "httponly" in cookies[name].lower()
        assert "Max-Age=" in cookies[name]
    assert re.search(r"^OauthNonce[^;]*deleted|^OauthNonce=deleted", "\n".join(cookies.values()), re.MULTILINE)
    answer = browser.get(back.headers["location"])
    assert answer.status_code == 200
    seen = answer.json()["headers"]
    assert seen["x-user"] == "ann"
    assert answer.json()["path"] == "/x?a=1"
    assert "authorization" not in seen
    token = cookies["BearerToken"].partition("=")[2].partition(";")[0]
    assert token.count(".") != 2, "the token is readable in the cookie"
    assert count(lab, "oauth_success") == before + 2, "one for the login, one for the cookies that were good"


@envoy
@pytest.mark.parametrize("path", ["/desk", "/public"])
def test_no_service_sees_the_sessions_cookies_and_every_service_sees_its_own(lab: Any, browser: httpx.Client, path: str) -> None:
    """On a route with a login the tokens would be readable, on others good for who sends them to the edge again."""
    logged_in(browser)
    assert "cookie" not in browser.get(path).json()["headers"]
    both = [f"{name}={value}" for name, value in browser.cookies.items()]
    own = ["theme=dark", "empty=", "MyBearerToken=1", "v.w=a=b"]
    mixed = [own[0], *both, "OauthNonce.0f=n", *own[1:], "CodeVerifier=c"]
    pairs = [("cookie", pair) for pair in mixed]
    for http2, cookies in ((False, [("cookie", "; ".join(mixed))]), (False, pairs), (True, pairs)):
        with lab.client(http2=http2) as client:
            seen = client.get(path, headers=[*PAGE.items(), *cookies]).json()["headers"]["cookie"]
            assert sorted(seen.split("; ")) == sorted(own)


@envoy
def test_what_a_route_requires_holds_for_those_who_logged_in(browser: httpx.Client) -> None:
    logged_in(browser)
    assert browser.get("/orders").status_code == 200
    assert browser.get("/vault").status_code == 403


@envoy
def test_a_bearer_token_goes_to_its_verification_instead(lab: Any, browser: httpx.Client) -> None:
    """Acceptance 51."""
    form = {"grant_type": "client_credentials", "client_id": "mesh-edge", "client_secret": CLIENT_SECRET, "sub": "robot", "ttl": "60"}
    token = httpx.post(f"{lab.issuer}/token", data=form).json()["access_token"]
    before = count(lab, "oauth_passthrough")
    answer = browser.get("/desk", headers={"authorization": f"Bearer {token}"})
    assert answer.json()["headers"]["x-user"] == "robot"
    assert browser.get("/desk", headers={"authorization": "Bearer a.b.c"}).status_code == 401
    assert browser.get("/desk", headers={"authorization": f"Bearer {token}."}).status_code == 403
    assert count(lab, "oauth_passthrough") == before + 2
    assert browser.get("/api", headers={"authorization": f"Bearer {token}"}).status_code == 200


@envoy
@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"accept": "application/json"}),
        ("GET", {"accept": "*/*"}),
        ("GET", {"x-requested-with": "XMLHttpRequest"}),
        ("POST", {}),
        ("DELETE", {}),
    ],
)
def test_clients_that_are_no_page_get_401_and_no_redirect(browser: httpx.Client, method: str, headers: dict[str, str]) -> None:
    answer = browser.request(method, "/desk", headers=headers)
    assert answer.status_code == 401
    assert "location" not in answer.headers


@envoy
def test_public_and_token_routes_know_nothing_of_logins(browser: httpx.Client) -> None:
    assert browser.get("/public").status_code == 200
    answer = browser.get("/api", headers=ANY)
    assert (answer.status_code, answer.text) == (401, "Jwt is missing")
    logged_in(browser)
    assert browser.get("/api").status_code == 401


@envoy
def test_logout_takes_every_cookie_back(lab: Any, browser: httpx.Client) -> None:
    """Acceptance 45."""
    logged_in(browser)
    assert browser.get("/desk").status_code == 200
    answer = browser.get("/oauth2/logout")
    assert answer.status_code == 302
    assert answer.headers["location"] == f"https://{lab.endpoints[0].address}:8443/"
    cookies = cookies_of(answer)
    for name in ("OauthHMAC", "BearerToken", "IdToken", "RefreshToken", "OauthExpires"):
        assert cookies[name].startswith(f"{name}=deleted")
        assert "1970" in cookies[name]
    assert browser.get("/desk").status_code == 302


@envoy
def test_another_cookie_key_ends_every_session(lab: Any, browser: httpx.Client) -> None:
    """A logout has only the browser forget its cookies, so whoever copied them is logged in until then."""
    logged_in(browser)
    own = dict(browser.cookies)
    browser.get("/oauth2/logout")
    for copied in (own, {"RefreshToken": own["RefreshToken"]}):
        cookie = "; ".join(f"{name}={value}" for name, value in copied.items())
        headers = PAGE | {"host": browser.base_url.netloc.decode(), "cookie": cookie}
        with lab.client(lab.endpoints[2].address) as changed, lab.client() as unchanged:
            assert [client.get("/desk", headers=headers).status_code for client in (changed, unchanged)] == [302, 200]


@envoy
def test_a_broken_callback_is_401_and_no_token_is_asked_for(lab: Any, browser: httpx.Client) -> None:
    """Acceptance 47, 51."""
    sent = browser.get("/desk")
    authorize = sent.headers["location"]
    good = urlsplit(returned(browser, authorize))
    query = {name: values[0] for name, values in parse_qs(good.query).items()}
    cluster = next(
        name
        for name in lab.statistics(lab.endpoints[0].address)
        if name.startswith("cluster.issuer-") and name.endswith("upstream_rq_total")
    )
    asked = lab.statistics(lab.endpoints[0].address)[cluster]
    failures = count(lab, "oauth_failure")
    state = json.loads(base64.urlsafe_b64decode(query["state"] + "=="))

    def encoded(**changed: str) -> str:
        return base64.urlsafe_b64encode(json.dumps({**state, **changed}).encode()).rstrip(b"=").decode()

    broken: list[dict[str, str]] = [
        {"state": query["state"]},
        {"code": query["code"]},
        {"error": "access_denied", "state": query["state"]},
        {"code": query["code"], "state": encoded(csrf_token="forged.forged")},
        {"code": query["code"], "state": encoded(csrf_token="")},
        {"code": query["code"], "state": "x"},
        {},
    ]
    for parameters in broken:
        answer = browser.get("/oauth2/callback", params=parameters, headers=ANY)
        assert (answer.status_code, answer.text) == (401, "OAuth flow failed."), parameters
    with lab.client(headers=PAGE) as stranger:
        answer = stranger.get("/oauth2/callback", params=query, headers=ANY)
        assert (answer.status_code, answer.text) == (401, "OAuth flow failed.")
    assert count(lab, "oauth_failure") == failures + len(broken) + 1
    statistics = lab.statistics(lab.endpoints[0].address)
    fetched = sum(int(value) for name, value in statistics.items() if name.endswith("jwt_authn.jwks_fetch_success"))
    assert int(statistics[cluster]) - int(asked) <= fetched


@envoy
def test_cookies_that_were_tampered_with_or_belong_to_another_login_are_refused(lab: Any, browser: httpx.Client) -> None:
    """A good refresh token beside them is used, for the person that it was given to and for nobody else."""
    logged_in(browser)
    own = dict(browser.cookies)
    with lab.client(headers=PAGE) as other:
        logged_in(other, name="eve")
        eve = dict(other.cookies)
    tampered = [
        own | {"BearerToken": eve["BearerToken"]},
        own | {"OauthExpires": str(int(own["OauthExpires"]) + 3600)},
        own | {"OauthHMAC": own["OauthHMAC"][:-2] + "AA"},
        own | {"BearerToken": "e30.e30.e30"},
        {name: value for name, value in own.items() if name != "OauthHMAC"},
    ]

    def ask(cookies: dict[str, str]) -> httpx.Response:
        with lab.client(headers=PAGE | {"cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}) as client:
            return client.get("/desk")

    refreshed = count(lab, "oauth_refreshtoken_success")
    assert ask(own).json()["headers"]["x-user"] == "ann"
    assert count(lab, "oauth_refreshtoken_success") == refreshed, "cookies as they were given need no refresh"
    for number, cookies in enumerate(tampered, 1):
        assert ask(cookies).json()["headers"]["x-user"] == "ann"
        assert count(lab, "oauth_refreshtoken_success") == refreshed + number, cookies.keys()
        answer = ask({name: value for name, value in cookies.items() if name != "RefreshToken"})
        assert answer.status_code in (302, 401), cookies.keys()
        assert "x-user" not in answer.text


@envoy
def test_a_state_that_leads_elsewhere_ends_nowhere_else(lab: Any, browser: httpx.Client) -> None:
    """Open redirect: the state is not signed as a whole, but an attacker's own cannot have the victim's nonce."""
    with lab.client(headers=PAGE) as attacker:
        sent = attacker.get("/desk")
        query = parse_qs(urlsplit(returned(attacker, sent.headers["location"])).query)
    answer = browser.get("/oauth2/callback", params={"code": query["code"][0], "state": query["state"][0]})
    assert answer.status_code == 401
    assert "location" not in answer.headers


@envoy
def test_two_tabs_log_in_at_once(browser: httpx.Client) -> None:
    first, second = browser.get("/desk/one"), browser.get("/desk/two")
    for sent, path in ((first, "/one"), (second, "/two")):
        back = browser.get(returned(browser, sent.headers["location"]))
        assert back.status_code == 302, back.text
        assert browser.get(back.headers["location"]).json()["path"] == path


@envoy
def test_an_expired_token_is_refreshed_without_a_login(lab: Any, browser: httpx.Client) -> None:
    """Acceptance 51. The provider's tokens live for three seconds here."""
    logged_in(browser)
    before = count(lab, "oauth_refreshtoken_success")
    time.sleep(3.2)
    answer = browser.get("/desk")
    assert answer.status_code == 200, answer.headers
    assert answer.json()["headers"]["x-user"] == "ann"
    assert count(lab, "oauth_refreshtoken_success") == before + 1


@envoy
def test_requests_that_meet_an_expired_token_at_once_are_all_answered(lab: Any, browser: httpx.Client) -> None:
    """A page's scripts: the browser has dropped what expired and sends the same refresh token with each of them."""
    logged_in(browser)
    cookies = {"RefreshToken": browser.cookies["RefreshToken"]}
    for _ in range(3):
        with lab.client(headers=ANY, cookies=cookies) as script:
            assert script.get("/desk").status_code == 200


@envoy
def test_a_browser_that_comes_back_from_a_used_login_page_is_told_so(browser: httpx.Client) -> None:
    """And not that it should log in, which it cannot there."""
    sent = browser.get("/desk")
    callback = returned(browser, sent.headers["location"])
    assert browser.get(callback).status_code == 302
    again = browser.get(callback)
    assert again.status_code == 401
    assert "The login was not finished" in again.text
    assert "Please log in" in browser.get("/desk", headers={"accept": "text/html", "x-requested-with": "x", "cookie": ""}).text
