"""Logins by OAuth 2 at `/account`: redirects that lead away, forged and foreign cookies, codes and states used again. Acceptance 40–51."""

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urljoin, urlsplit

import httpx
import pytest

from model.contract import LOGIN_CALLBACK, LOGIN_LOGOUT
from tests.attacks.attack import Answer, Attack, Ledger, ids, judge
from tests.attacks.edge import Edge

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
PAGE = {"accept": "text/html"}
ACCOUNT = "/account/headers"
EVIL = "https://evil.example"
EVE: dict[str, str] = {}


def begin(edge: Edge, browser: httpx.Client, name: str = "ann", path: str = ACCOUNT) -> str:
    """Logs in at the issuer; the callback's URL, which the browser has not followed."""
    sent = browser.get(path, headers=PAGE)
    page = urljoin(edge.url, sent.headers["location"])
    back = browser.post(page, data={"username": name, "password": edge.secrets["password"]}, headers=PAGE)
    assert back.status_code == 302, back.text
    return str(back.headers["location"])


def logged_in(edge: Edge, name: str) -> dict[str, str]:
    """The cookies of a new login."""
    with edge.client() as browser:
        done = browser.get(begin(edge, browser, name), headers=PAGE)
        assert done.status_code == 302, done.text
        return dict(browser.cookies)


@pytest.fixture(scope="module", autouse=True)
def _eve(edge: Edge) -> None:
    """Another person's cookies, which are good as they are."""
    EVE.update(logged_in(edge, "eve"))
    answer = edge.get(ACCOUNT, {**PAGE, "cookie": joined(EVE)})
    assert (answer.status_code, answer.json()["headers"]["x-user"]) == (200, "eve")
    assert "set-cookie" not in answer.headers


def outcome(response: httpx.Response) -> Answer:
    """A redirect that leads to the attacker is what he wants."""
    place = urlsplit(response.headers.get("location", ""))
    return Answer.of(response, response.headers["location"] if place.hostname and place.hostname.endswith("evil.example") else "")


def with_cookies(name: str, change: Callable[[dict[str, str]], dict[str, str] | str], host: str = "") -> Attack:
    """The cookies of an own login, changed. The refresh token among them is good, so the edge renews the login, and must do so:
    what was changed is not believed, and whose page it is does not change.
    """

    def how(edge: Edge) -> Answer:
        changed = change(logged_in(edge, "ann"))
        headers = {**PAGE, "cookie": changed if isinstance(changed, str) else joined(changed)} | ({"host": host} if host else {})
        answer = edge.get(ACCOUNT, headers)
        if answer.status_code != httpx.codes.OK:
            return Answer.of(answer)
        believed = "" if "OauthHMAC=" in answer.headers.get("set-cookie", "") else "the page with changed cookies"
        return Answer.of(answer, believed if answer.json()["headers"]["x-user"] == "ann" else "another person's page")

    return Attack(name=name, how=how, must=(200,), reaches=1)


def alone(name: str, change: Callable[[dict[str, str]], dict[str, str]]) -> Attack:
    """Without a good refresh token there is nothing to renew."""
    return Attack(
        name=name,
        how=lambda edge: Answer.of(edge.get(ACCOUNT, {**PAGE, "cookie": joined(change(logged_in(edge, "ann")))})),
        must=(302, 401),
    )


def joined(cookies: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def flipped(value: str, place: int = 8) -> str:
    return value[:place] + ("A" if value[place] != "A" else "B") + value[place + 1 :]


COOKIES = [
    with_cookies("another person's token", lambda own: own | {"BearerToken": EVE["BearerToken"]}),
    with_cookies("another person's token and signature", lambda own: own | {name: EVE[name] for name in ("BearerToken", "OauthHMAC")}),
    with_cookies("a later expiry", lambda own: own | {"OauthExpires": str(int(own["OauthExpires"]) + 3600)}),
    with_cookies("no expiry", lambda own: without(own, "OauthExpires")),
    with_cookies("a signature with one letter changed", lambda own: own | {"OauthHMAC": flipped(own["OauthHMAC"])}),
    with_cookies("a signature cut short", lambda own: own | {"OauthHMAC": own["OauthHMAC"][:8]}),
    with_cookies("an empty signature", lambda own: own | {"OauthHMAC": ""}),
    with_cookies("no signature", lambda own: without(own, "OauthHMAC")),
    with_cookies("a token with one letter changed", lambda own: own | {"BearerToken": flipped(own["BearerToken"], 30)}),
    with_cookies("a token in the clear", lambda own: own | {"BearerToken": "e30.e30.e30"}),
    with_cookies("no token", lambda own: without(own, "BearerToken")),
    with_cookies("two tokens, another person's first", lambda own: f"BearerToken={EVE['BearerToken']}; {joined(own)}"),
    with_cookies("cookies of another host name", lambda own: own, host="other.local.mesh.internal"),
    alone("another person's cookies without the refresh token", lambda own: without(EVE, "RefreshToken")),
    alone("a forged refresh token", lambda own: own | {"RefreshToken": "e30.e30.e30", "OauthHMAC": EVE["OauthHMAC"]}),
    alone("a refresh token with one letter changed", lambda own: own | {"RefreshToken": flipped(own["RefreshToken"], 30)}),
    alone("a token in the place of the refresh token", lambda own: own | {"RefreshToken": own["BearerToken"]}),
    alone("a signature alone", lambda own: {"OauthHMAC": own["OauthHMAC"]}),
    alone("names in lower case", lambda own: {name.lower(): value for name, value in own.items()}),
]


def without(cookies: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in cookies.items() if key != name}


def changed_state(change: Callable[[dict[str, Any]], Any]) -> Callable[[Edge], Answer]:
    """One's own login with the state changed on the way back, which has the right nonce."""

    def how(edge: Edge) -> Answer:
        with edge.client() as browser:
            back = urlsplit(begin(edge, browser))
            query = {name: values[0] for name, values in parse_qs(back.query).items()}
            state = json.loads(base64.urlsafe_b64decode(query["state"] + "=="))
            query["state"] = base64.urlsafe_b64encode(json.dumps(change(state)).encode()).rstrip(b"=").decode()
            return outcome(browser.get(f"{LOGIN_CALLBACK}?{urlencode(query)}"))

    return how


def callback(change: Callable[[dict[str, str]], str], method: str = "GET", path: str = LOGIN_CALLBACK) -> Callable[[Edge], Answer]:
    """One's own callback with another query."""

    def how(edge: Edge) -> Answer:
        with edge.client() as browser:
            query = {name: values[0] for name, values in parse_qs(urlsplit(begin(edge, browser)).query).items()}
            answer = browser.request(method, f"{path}?{change(query)}")
            return Answer.of(answer, "a session" if "OauthHMAC" in browser.cookies else "")

    return how


def someone_elses_callback(edge: Edge) -> Answer:
    """Login CSRF: the victim would go on in the attacker's account."""
    with edge.client() as attacker, edge.client() as victim:
        back = begin(edge, attacker, "eve")
        answer = victim.get(back)
        return Answer.of(answer, "a session" if "OauthHMAC" in victim.cookies else "")


def someone_elses_callback_beside_an_own_login(edge: Edge) -> Answer:
    with edge.client() as attacker, edge.client() as victim:
        back = begin(edge, attacker, "eve")
        begin(edge, victim)
        answer = victim.get(back)
        return Answer.of(answer, "a session" if "OauthHMAC" in victim.cookies else "")


def own_code_in_a_foreign_state(edge: Edge) -> Answer:
    with edge.client() as attacker, edge.client() as victim:
        code = parse_qs(urlsplit(begin(edge, attacker, "eve")).query)["code"][0]
        state = parse_qs(urlsplit(begin(edge, victim)).query)["state"][0]
        answer = victim.get(LOGIN_CALLBACK, params={"code": code, "state": state})
        return Answer.of(answer, "a session" if "OauthHMAC" in victim.cookies else "")


def callback_again(edge: Edge) -> Answer:
    """The very same request twice, cookies and all."""
    with edge.client() as browser:
        back = begin(edge, browser)
        before = joined(dict(browser.cookies))
        assert browser.get(back).status_code == 302
    again = edge.get(f"{LOGIN_CALLBACK}?{urlsplit(back).query}", {"cookie": before})
    return Answer.of(again, "a session" if "OauthHMAC" in again.headers.get("set-cookie", "") else "")


def at_the_issuer(redirect: str, **more: str) -> Callable[[Edge], Answer]:
    """The issuer is asked to send its code to somebody else, with a right password; `EDGE` stands for the edge's host and port."""

    def how(edge: Edge) -> Answer:
        parameters = {
            "response_type": "code",
            "client_id": edge.client_id,
            "code_challenge": "x" * 43,
            "code_challenge_method": "S256",
            "state": "s",
        }
        query = urlencode({**parameters, **more}) + "".join(
            f"&redirect_uri={quote(uri)}" for uri in redirect.replace("EDGE", edge.authority).split()
        )
        with edge.client() as browser:
            answer = browser.post(f"/identity/authorize?{query}", data={"username": "ann", "password": edge.secrets["password"]})
        place = answer.headers.get("location", "")
        return Answer.of(answer, place if "code=" in place or (place and not place.startswith(f"{edge.url}/")) else "")

    return how


def to_token_endpoint(**form: str) -> Callable[[Edge], Answer]:
    """A code that was caught on its way, without what belongs to it; CODE stands for it, SECRET for the client's secret."""

    def how(edge: Edge) -> Answer:
        with edge.client() as browser:
            back = begin(edge, browser)
            code = parse_qs(urlsplit(back).query)["code"][0]
            known = {
                "CODE": code,
                "SECRET": edge.secrets["client-secret"],
                "CLIENT": edge.client_id,
                "BACK": f"{edge.url}{LOGIN_CALLBACK}",
            }
            answer = browser.post("/identity/token", data={name: known.get(value, value) for name, value in form.items()})
        return Answer.of(answer, "a token" if "access_token" in answer.text else "")

    return how


def foreign_host(edge: Edge) -> Answer:
    """A login begun under another host name: what the attacker gets of it must be no redirect that the issuer follows."""
    with edge.client() as browser:
        sent = browser.get(ACCOUNT, headers={**PAGE, "host": "evil.example"})
        page = urljoin(edge.url, sent.headers["location"])
        return outcome(browser.post(page, data={"username": "ann", "password": edge.secrets["password"]}))


def plain(target: str, host: str | None = None) -> Callable[[Edge], Answer]:
    """Over port 80's listener, which redirects all."""

    def how(edge: Edge) -> Answer:
        text = edge.send_plain(f"GET {target} HTTP/1.1\r\nhost: {host or edge.host}\r\nconnection: close\r\n\r\n".encode(), 8080).decode(
            "latin-1"
        )
        place = next((line.partition(": ")[2] for line in text.split("\r\n") if line.lower().startswith("location:")), "")
        leads = urlsplit(place).hostname
        return Answer(status=int(text[9:12] or 0), text=text, gained=place if place and leads != edge.host else "")

    return how


def logged_out(edge: Edge) -> Answer:
    """A link on another site's page."""
    with edge.client() as browser:
        browser.get(begin(edge, browser), headers=PAGE)
        answer = browser.get(LOGIN_LOGOUT, headers={**PAGE, "referer": EVIL, "sec-fetch-site": "cross-site"})
        return Answer.of(answer, "a session ended" if "OauthHMAC" not in browser.cookies else "")


def kept_from_before_a_logout(copied: Callable[[dict[str, str]], dict[str, str]]) -> Callable[[Edge], Answer]:
    """A copy of cookies, made before their owner logged out."""

    def how(edge: Edge) -> Answer:
        own = logged_in(edge, "ann")
        out = edge.get(LOGIN_LOGOUT, {**PAGE, "cookie": joined(own)})
        assert (out.status_code, out.headers["location"]) == (302, f"{edge.url}/")
        return Answer.of(edge.get(ACCOUNT, {**PAGE, "cookie": joined(copied(own))}))

    return how


CODE_FORM = {"grant_type": "authorization_code", "code": "CODE", "redirect_uri": "BACK", "client_id": "CLIENT"}
ROWS = [
    *COOKIES,
    Attack(
        name="a state that leads to another site, nonce unknown",
        how=changed_state(lambda state: {**state, "url": EVIL, "csrf_token": "a.b"}),
        must=(401,),
    ),
    Attack(name="a state without a nonce", how=changed_state(lambda state: {**state, "csrf_token": ""}), must=(401,)),
    Attack(name="a state that is a list", how=changed_state(lambda state: [state]), must=(401,)),
    Attack(name="a state that leads to a script", how=changed_state(lambda state: {**state, "url": "javascript:alert(1)"}), must=(401,)),
    Attack(name="a state that leads nowhere", how=changed_state(lambda state: {**state, "url": "//evil.example"}), must=(401,)),
    Attack(name="one's own state that leads to another site", how=changed_state(lambda state: {**state, "url": f"{EVIL}/"}), must=(302,)),
    Attack(
        name="one's own state that leads to a host that begins like this one",
        how=changed_state(lambda state: {**state, "url": state["url"].replace("/account", ".evil.example/account")}),
        must=(302, 401),
    ),
    Attack(
        name="one's own state that leads to a host behind a name",
        how=changed_state(lambda state: {**state, "url": state["url"].replace("/account", "@evil.example/account")}),
        must=(302, 401),
    ),
    Attack(name="someone else's callback (login CSRF)", how=someone_elses_callback, must=(401,)),
    Attack(name="someone else's callback beside an own login", how=someone_elses_callback_beside_an_own_login, must=(401,)),
    Attack(name="someone else's code in an own state", how=own_code_in_a_foreign_state, must=(401,)),
    Attack(name="the same callback again", how=callback_again, must=(401,)),
    Attack(name="no code", how=callback(lambda query: urlencode({"state": query["state"]})), must=(401,)),
    Attack(name="no state", how=callback(lambda query: urlencode({"code": query["code"]})), must=(401,)),
    Attack(name="nothing", how=callback(lambda query: ""), must=(401,)),
    Attack(name="an error beside a good code", how=callback(lambda query: urlencode({**query, "error": "access_denied"})), must=(401,)),
    Attack(name="a forged code", how=callback(lambda query: urlencode({**query, "code": "e30.e30.e30"})), must=(401,)),
    Attack(
        name="a line break in the code", how=callback(lambda query: urlencode({**query, "code": "x\r\nset-cookie: a=b"})), must=(400, 401)
    ),
    Attack(name="two codes, the forged one first", how=callback(lambda query: f"code=e30.e30.e30&{urlencode(query)}"), must=(401,)),
    Attack(name="two states, the forged one first", how=callback(lambda query: f"state=e30&{urlencode(query)}"), must=(401,)),
    Attack(name="a code in a matrix parameter", how=callback(urlencode, path=f"{LOGIN_CALLBACK};a=b"), must=(404,)),
    Attack(name="the callback with a slash behind", how=callback(urlencode, path=f"{LOGIN_CALLBACK}/"), must=(404,)),
    Attack(name="the callback in capitals", how=callback(urlencode, path=LOGIN_CALLBACK.upper()), must=(404,)),
    Attack(name="a login begun under another host name", how=foreign_host, must=(400,)),
    *(
        Attack(name=f"the issuer's redirect to {uri}", how=at_the_issuer(uri), must=(400,))
        for uri in (
            f"{EVIL}/oauth2/callback",
            "//evil.example/oauth2/callback",
            "https://EDGE@evil.example/oauth2/callback",
            "https://evil.example#EDGE/oauth2/callback",
            "https://EDGE.evil.example/oauth2/callback",
            "http://EDGE/oauth2/callback",
            "https://EDGE/oauth2/callback/../../service-1",
            "https://EDGE/oauth2/callback?next=https://evil.example",
            "https://EDGE/oauth2/callback%0d%0aset-cookie:a=b",
            "javascript:alert(1)",
            "https://evil.example https://EDGE/oauth2/callback",
        )
    ),
    Attack(name="the issuer without PKCE", how=at_the_issuer("https://EDGE/oauth2/callback", code_challenge=""), must=(302, 400)),
    Attack(
        name="the issuer with plain PKCE", how=at_the_issuer("https://EDGE/oauth2/callback", code_challenge_method="plain"), must=(302, 400)
    ),
    Attack(name="the issuer's implicit flow", how=at_the_issuer("https://EDGE/oauth2/callback", response_type="token"), must=(302, 400)),
    Attack(name="a caught code without a verifier", how=to_token_endpoint(**CODE_FORM, client_secret="SECRET"), must=(400,)),
    Attack(
        name="a caught code with another verifier",
        how=to_token_endpoint(**CODE_FORM, client_secret="SECRET", code_verifier="x" * 43),
        must=(400,),
    ),
    Attack(
        name="a caught code with another secret",
        how=to_token_endpoint(**CODE_FORM, client_secret="x" * 32, code_verifier="x" * 43),
        must=(400, 401),
    ),
    Attack(
        name="a caught code as a refresh token",
        how=to_token_endpoint(grant_type="refresh_token", refresh_token="CODE", client_id="CLIENT", client_secret="SECRET"),
        must=(400,),
    ),
    Attack(
        name="a password grant",
        how=to_token_endpoint(grant_type="password", username="ann", password="x", client_id="CLIENT", client_secret="SECRET"),
        must=(400,),
    ),
    Attack(
        name="a token for oneself with a wrong secret",
        how=to_token_endpoint(grant_type="client_credentials", client_id="CLIENT", client_secret="x" * 32, sub="root"),
        must=(400, 401),
    ),
    Attack(name="plain HTTP to //evil.example", how=plain("//evil.example/"), must=(301,)),
    Attack(name="plain HTTP to /\\evil.example", how=plain("/\\evil.example"), must=(301, 400)),
    Attack(name="plain HTTP to an absolute URL", how=plain(f"{EVIL}/"), must=(301, 400, 403)),
    Attack(name="plain HTTP with a host that is a URL", how=plain("/", "evil.example/x?"), must=(301, 400)),
    Attack(name="plain HTTP with a name before the host", how=plain("/", "edge@evil.example"), must=(400,)),
    Attack(name="plain HTTP under another host name", how=plain("/", "evil.example"), must=(400,)),
    Attack(name="plain HTTP with a line break", how=plain("/%0d%0alocation:%20https://evil.example"), must=(301,)),
    Attack(name="a logout by another site's link", how=logged_out, must=(403,)),
    Attack(name="a session's cookies, kept from before its logout", how=kept_from_before_a_logout(lambda own: own), must=(302,)),
    Attack(
        name="its refresh token alone, kept from before its logout",
        how=kept_from_before_a_logout(lambda own: {"RefreshToken": own["RefreshToken"]}),
        must=(302,),
    ),
]


@pytest.mark.parametrize(**ids(ROWS))
def test_a_login(attack: Attack, edge: Edge, ledger: Ledger) -> None:
    judge("login", attack, edge, ledger)
