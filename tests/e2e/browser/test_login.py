"""Logins as a person does them: one tab, two tabs, wrong passwords, the back button, and out again."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import BrowserType, Error, Page, expect

from tests.e2e.browser.chromium import Program, running
from tests.e2e.browser.window import Window, log_in

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SESSION = {"OauthHMAC", "OauthExpires", "BearerToken", "IdToken", "RefreshToken"}


def shown(tab: Page) -> dict[str, str]:
    """The JSON that the tab shows: request headers as the service saw them."""
    headers: dict[str, str] = json.loads(tab.inner_text("body"))["headers"]
    return headers


@pytest.mark.parametrize("by", ["edge", "named_edge"])
def test_a_login_ends_at_the_page_that_was_asked_for(by: str, request: pytest.FixtureRequest, window: Window, password: str) -> None:
    """Acceptance 40, 41, 42, 44: by address and by the mesh's domain."""
    edge: str = request.getfixturevalue(by)
    wanted = f"{edge}/account/headers?a=1&b=%20x"
    tab = window.tab(wanted)
    assert tab.url.startswith(f"{edge}/identity/authorize?")
    query = urlsplit(tab.url).query
    names = [pair.partition("=")[0] for pair in query.split("&")]
    assert names == ["client_id", "code_challenge", "code_challenge_method", "redirect_uri", "response_type", "scope", "state"]
    state = json.loads(base64.urlsafe_b64decode(parse_qs(query)["state"][0] + "=="))
    assert state["url"] == wanted
    before = window.cookies()
    assert set(before) == {f"{name}{flow}" for name in ("OauthNonce", "CodeVerifier") for flow in ("", f".{state['flow_id']}")}

    log_in(tab, password)
    tab.wait_for_url(wanted)
    seen = shown(tab)
    assert seen["x-user"] == "ann"
    assert "authorization" not in seen
    assert not seen.get("cookie", "").count(".") > 1, "a token reached the service"
    after = window.cookies()
    assert set(after) == SESSION
    for cookie in (before | after).values():
        assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, True, "Lax", "/")
    assert tab.evaluate("document.cookie") == ""
    assert after["BearerToken"]["value"].count(".") != 2, "the token is readable in the cookie"
    assert window.documents() == [
        (302, "account/headers"),
        (200, "identity/authorize"),
        (302, "identity/authorize"),
        (302, "oauth2/callback"),
        (200, "account/headers"),
    ]


def test_a_wrong_password_is_told_and_can_be_corrected(window: Window, edge: str, password: str) -> None:
    tab = window.tab(f"{edge}/account/headers")
    expect(tab.get_by_label("Name")).to_be_focused()
    log_in(tab, "wrong")
    expect(tab.get_by_role("alert")).to_have_text("Name or password is wrong.")
    expect(tab.get_by_label("Name")).to_have_value("ann")
    expect(tab.get_by_label("Password")).to_be_focused()
    expect(tab.get_by_label("Password")).to_have_value("")
    assert not SESSION & set(window.cookies())
    tab.keyboard.type(password)
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"{edge}/account/headers")
    assert shown(tab)["x-user"] == "ann"


def test_two_tabs_log_in_at_the_same_time(window: Window, edge: str, password: str) -> None:
    """Acceptance 41: each flow has a nonce of its own."""
    tabs = {name: window.tab(f"{edge}/account/headers?tab={name}") for name in ("one", "two")}
    flows = [name for name in window.cookies() if name.startswith("OauthNonce.")]
    assert len(flows) == 2
    for tab in tabs.values():
        log_in(tab, password)
    for name, tab in tabs.items():
        tab.wait_for_url(f"{edge}/account/headers?tab={name}")
        assert shown(tab)["x-user"] == "ann"
    assert set(window.cookies()) == SESSION


def test_after_logout_nothing_is_left_and_the_next_visit_asks_again(window: Window, edge: str, password: str) -> None:
    """Acceptance 45."""
    tab = window.tab(f"{edge}/account/headers")
    log_in(tab, password)
    tab.wait_for_url(f"{edge}/account/headers")
    tab.goto(f"{edge}/oauth2/logout")
    assert tab.url == f"{edge}/"
    assert window.cookies() == {}
    assert tab.goto(f"{edge}/account/headers")
    expect(tab.get_by_label("Password")).to_be_visible()


def test_a_used_callback_is_refused_once_and_not_in_a_circle(
    window: Window, new_window: Callable[..., Window], edge: str, password: str
) -> None:
    """Acceptance 47: whoever finds the URL in a history, and the person whose it was."""
    tab = window.tab(f"{edge}/account/headers")
    log_in(tab, password)
    tab.wait_for_url(f"{edge}/account/headers")
    callback = next(answer.url for answer in window.answers if "/oauth2/callback" in answer.url)
    for visitor in (window, new_window()):
        seen = len(visitor.answers)
        page = visitor.tab(callback)
        assert page.url == callback
        expect(page.get_by_role("heading")).to_have_text("The login was not finished")
        assert [answer.status for answer in visitor.answers[seen:] if answer.request.is_navigation_request()] == [401]
        script = "url => fetch(url).then(async answer => [answer.status, await answer.text()])"
        assert visitor.tab(f"{edge}/service-1/info").evaluate(script, callback) == [401, "OAuth flow failed."]
    tab.reload()
    assert shown(tab)["x-user"] == "ann", "the session went on"


def test_back_leads_to_the_login_page_and_a_second_login_there_says_that_it_is_used(window: Window, edge: str, password: str) -> None:
    tab = window.tab(f"{edge}/account/headers")
    log_in(tab, password)
    tab.wait_for_url(f"{edge}/account/headers")
    tab.go_back()
    log_in(tab, password, name="bob")
    expect(tab.get_by_role("heading")).to_have_text("The login was not finished")
    tab.goto(f"{edge}/account/headers")
    assert shown(tab)["x-user"] == "ann"


def test_a_browser_that_does_not_know_the_stacks_authority_shows_no_page(
    kind: BrowserType, programs: tuple[Program, Program], edge: str, tmp_path: Path
) -> None:
    """So the others of these tests do verify certificates."""
    with running(kind, programs[0], tmp_path, {}) as stranger, pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"):
        stranger.new_page().goto(f"{edge}/service-1/info")
