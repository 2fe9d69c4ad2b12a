"""What time does to a session and what the edge tells browsers to remember; the stack has short tokens and HSTS meanwhile."""

import copy
import json
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Error, Page

from tests.e2e.browser.conftest import FRONT_ENDS
from tests.e2e.browser.window import Window, log_in
from tests.e2e.driver import Stack, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LIFE_SECONDS = 4
REFRESHED = "envoy_http_oauth_refreshtoken_success"
SCRIPTS = "paths => Promise.all(paths.map(path => fetch(path).then(answer => answer.status)))"

SOCKET = """
url => new Promise(done => {
  const socket = new WebSocket(url);
  socket.onmessage = event => { done(event.data); socket.close(); };
  socket.onclose = event => done(event.code);
})
"""


@pytest.fixture(scope="module", autouse=True)
def changed(stack: Stack) -> Iterator[None]:
    """Access tokens that expire at once, HSTS, and WebSocket on the route with a login; all are taken back."""
    with stack.edited() as mesh:
        before = copy.deepcopy(mesh)
        mesh["edge"]["auth"]["tokenLife"] = f"{LIFE_SECONDS}s"
        mesh["edge"]["tls"]["hsts"] = "1d"
        [account] = [route for route in mesh["services"]["service-2"]["routes"] if route["prefix"] == "/account"]
        account["websocket"] = True
    try:
        stack.mesh("up")
        yield
    finally:
        with stack.edited() as mesh:
            mesh.update(before)
        stack.mesh("up")


@pytest.fixture
def session(window: Window, edge: str, password: str) -> Page:
    """A tab of somebody who logged in."""
    tab = window.tab(f"{edge}/account/headers")
    log_in(tab, password)
    tab.wait_for_url(f"{edge}/account/headers")
    return tab


def expire(window: Window) -> None:
    """Waits until the browser has dropped the access token by itself."""
    eventually("the token's cookie is gone", lambda: not {"BearerToken", "OauthHMAC"} & set(window.cookies()), seconds=4 * LIFE_SECONDS)
    assert set(window.cookies()) == {"RefreshToken"}


def test_an_expired_session_goes_on_without_a_login_page(counted: Callable[[str], int], window: Window, session: Page, edge: str) -> None:
    """Acceptance 51."""
    before, seen = counted(REFRESHED), len(window.documents())
    for round_ in (1, 2):
        expire(window)
        session.goto(f"{edge}/account/headers?round={round_}")
        assert json.loads(session.inner_text("body"))["headers"]["x-user"] == "ann"
        assert counted(REFRESHED) == before + round_
    assert window.documents()[seen:] == [(200, "account/headers")] * 2


def test_all_scripts_of_a_page_and_a_second_tab_go_on_at_once(window: Window, session: Page, edge: str) -> None:
    expire(window)
    assert session.evaluate(SCRIPTS, [f"/account/info?{number}" for number in range(6)]) == [200] * 6
    second = window.tab()
    expire(window)
    for tab in (session, second):
        tab.evaluate("url => { location.href = url }", f"{edge}/account/headers?again")
    for tab in (session, second):
        tab.wait_for_url(f"{edge}/account/headers?again")
        assert json.loads(tab.inner_text("body"))["headers"]["x-user"] == "ann"


def test_only_the_own_pages_of_a_session_open_its_websocket(
    window: Window, new_window: Callable[..., Window], session: Page, edge: str
) -> None:
    """Also with an expired token. A page of another site has a browser that would not send the cookies along."""
    socket = f"{edge.replace('https://', 'wss://')}/account/ws"
    assert str(session.evaluate(SOCKET, socket)).startswith("service-2 ")
    expire(window)
    assert str(session.evaluate(SOCKET, socket)).startswith("service-2 ")
    abnormal = 1006
    assert window.tab(f"http://{FRONT_ENDS[0]}").evaluate(SOCKET, socket) == abnormal
    assert new_window().tab(f"{edge}/service-1/info").evaluate(SOCKET, socket) == abnormal


def test_a_browser_remembers_to_use_tls(window: Window, named_edge: str) -> None:
    """HSTS is for names: addresses have none."""
    plain = named_edge.replace("https://", "http://") + "/service-1/info"
    with pytest.raises(Error, match="ERR_"):
        window.tab(plain)
    tab = window.tab(f"{named_edge}/service-1/info")
    answer = tab.goto(plain)
    assert answer is not None
    assert (answer.status, answer.url) == (200, f"{named_edge}/service-1/info")
    assert answer.request.redirected_from is not None
    assert answer.headers["strict-transport-security"] == "max-age=86400"
