"""People who log in, on the whole local stack: at both edges, with the issuer behind them."""

import base64
import json
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest

from model.contract import LOGIN_CALLBACK, login_parameter
from tests.e2e.driver import Stack
from tests.e2e.sight import growth

pytestmark = pytest.mark.e2e

PAGE = {"accept": "text/html"}
ANY = {"accept": "*/*"}
"""Gets Envoy's own words instead of a page."""
WORDS = {"path=/", "secure", "httponly", "samesite=lax"}
"""What every cookie of a login says."""


@pytest.fixture(scope="module")
def form(stack: Stack) -> dict[str, str]:
    """What a person fills in; the password is where the operator finds it."""
    answer = stack.aws("ssm").get_parameter(Name=login_parameter("local", "password"), WithDecryption=True)
    return {"username": "ann", "password": answer["Parameter"]["Value"]}


def cookies_of(response: httpx.Response) -> dict[str, str]:
    """Set-Cookie headers by name."""
    return {line.partition("=")[0]: line for line in response.headers.get_list("set-cookie")}


def words_of(line: str) -> set[str]:
    return {word.strip().lower() for word in line.split(";")[1:]}


def test_a_person_logs_in_at_either_edge_and_out_again(stack: Stack, urls: list[str], edges: list[str], form: dict[str, str]) -> None:
    """Acceptance 40, 41, 42, 43, 44, 45, 51; the issuer gives a token only for the code with its verifier and redirect."""
    begun, ended = "http.edge-https.oauth_unauthorized_rq", "http.edge-https.oauth_success"
    for url in urls:
        with stack.client(url) as browser, growth(edges, begun, ended) as counted:
            sent = browser.get("/account/headers?a=1", headers=PAGE)
            assert sent.status_code == 302
            page = urljoin(url, sent.headers["location"])
            assert page.startswith(f"{url}/identity/authorize?"), "a browser stays at the edge where it began"
            asked = [pair.partition("=")[0] for pair in urlsplit(page).query.split("&")]
            assert asked == ["client_id", "code_challenge", "code_challenge_method", "redirect_uri", "response_type", "scope", "state"]
            query = {name: values[0] for name, values in parse_qs(urlsplit(page).query).items()}
            assert (query["code_challenge_method"], query["response_type"]) == ("S256", "code")
            assert query["redirect_uri"] == f"{url}{LOGIN_CALLBACK}"
            state = json.loads(base64.urlsafe_b64decode(query["state"] + "=="))
            assert state.keys() == {"url", "csrf_token", "flow_id"}
            assert state["url"] == f"{url}/account/headers?a=1"
            cookies = cookies_of(sent)
            for name in ("OauthNonce", "CodeVerifier", f"OauthNonce.{state['flow_id']}", f"CodeVerifier.{state['flow_id']}"):
                assert words_of(cookies[name]) >= WORDS | {"max-age=600"}
            assert "<form" in browser.get(page, headers=PAGE).text
            back = browser.post(page, data=form, headers=PAGE)
            assert back.status_code == 302, back.text
            done = browser.get(back.headers["location"], headers=PAGE)
            assert (done.status_code, done.headers["location"]) == (302, f"{url}/account/headers?a=1")
            for name in ("OauthHMAC", "OauthExpires", "BearerToken"):
                assert words_of(cookies_of(done)[name]) >= WORDS | {"max-age=600"}
            assert cookies_of(done)["BearerToken"].count(".") < 2, "the token is readable in the cookie"
            assert browser.get(done.headers["location"]).json()["headers"]["x-user"] == "ann"
            assert browser.get("/account/info").status_code == 200
            out = browser.get("/oauth2/logout", headers=PAGE)
            assert out.status_code == 302
            for name in ("OauthHMAC", "BearerToken", "IdToken", "RefreshToken", "OauthExpires"):
                assert cookies_of(out)[name].startswith(f"{name}=deleted; ")
                assert "1970" in cookies_of(out)[name]
            assert browser.get("/account/info").status_code == 401
        assert counted == {begun: 1, ended: 3}, "one success for the login, one for each request with its cookies"


def test_a_broken_callback_logs_nobody_in(stack: Stack, urls: list[str], edges: list[str]) -> None:
    """Acceptance 47, 51."""
    failed = "http.edge-https.oauth_failure"
    broken = [{}, {"code": "c"}, {"error": "access_denied"}, {"state": "x"}, {"code": "c", "state": "e30"}]
    with growth(edges, failed) as counted, stack.client(urls[0]) as stranger:
        for parameters in broken:
            answer = stranger.get(LOGIN_CALLBACK, params=parameters, headers=ANY)
            assert (answer.status_code, answer.text) == (401, "OAuth flow failed.")
            assert "location" not in answer.headers
    assert counted == {failed: len(broken)}
