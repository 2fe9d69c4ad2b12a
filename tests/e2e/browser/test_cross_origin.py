"""Pages of other origins: an allowed front end calls, by fetch and by gRPC-Web; a stranger reads nothing and changes nothing."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from apps.protos.info_pb2 import InfoRequest, WatchRequest
from tests.e2e.browser.conftest import FRONT_ENDS
from tests.e2e.browser.grpc_web import call
from tests.e2e.browser.window import Window, log_in, soon
from tests.e2e.driver import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ALLOWED, STRANGER = (f"http://{host}" for host in FRONT_ENDS)
FETCH = """
async ([url, options]) => {
  try {
    const answer = await fetch(url, options);
    return [answer.status, (await answer.json()).service, answer.headers.get("x-request-id") !== null];
  } catch (error) { return String(error); }
}
"""
REFUSED = "TypeError: Failed to fetch"
INFO = "mesh.info.v1.Info"


@pytest.fixture
def preflights(window: Window) -> Callable[[Page], list[str]]:
    """Starts to write down the methods of a tab's requests, preflights among them, which Playwright's own events leave out."""

    def watch(tab: Page) -> list[str]:
        seen: list[str] = []
        tools = window.context.new_cdp_session(tab)
        tools.on("Network.requestWillBeSent", lambda event: seen.append(event["request"]["method"]))
        tools.send("Network.enable")
        return seen

    return watch


def test_a_listed_origin_reads_the_answer(counted: Callable[[str], int], window: Window, edge: str) -> None:
    """Acceptance 59, 64."""
    before = [counted(f"envoy_http_cors_origin_{word}") for word in ("valid", "invalid")]
    allowed, stranger = window.tab(ALLOWED), window.tab(STRANGER)
    assert allowed.evaluate(FETCH, [f"{edge}/service-2/info", {}]) == [200, "service-2", True]
    assert stranger.evaluate(FETCH, [f"{edge}/service-2/info", {}]) == REFUSED
    assert [counted(f"envoy_http_cors_origin_{word}") for word in ("valid", "invalid")] == [before[0] + 1, before[1] + 1]


def test_what_was_not_allowed_is_not_sent_at_all(window: Window, edge: str, preflights: Callable[[Page], list[str]]) -> None:
    """Acceptance 60: methods and headers beyond the simple ones are asked for first."""
    tab = window.tab(ALLOWED)
    seen = preflights(tab)
    assert tab.evaluate(FETCH, [f"{edge}/service-2/info", {"method": "DELETE"}]) == REFUSED
    assert tab.evaluate(FETCH, [f"{edge}/service-2/info", {"headers": {"x-other": "1"}}]) == REFUSED
    assert soon(tab, lambda: seen.count("OPTIONS") == 2)
    answered = [answer for answer in window.answers if answer.url.endswith("/service-2/info")]
    assert [answer.request.method for answer in answered if answer.request.method != "OPTIONS"] == []


def test_grpc_web_calls_and_streams_from_a_listed_origin(
    stack: Stack, window: Window, edge: str, preflights: Callable[[Page], list[str]]
) -> None:
    tab = window.tab(ALLOWED)
    seen = preflights(tab)
    one = call(tab, f"{edge}/grpc-1/{INFO}/Get", InfoRequest(), **{"grpc-timeout": "5S"})
    assert soon(tab, lambda: "OPTIONS" in seen)
    assert one.headers["content-type"] == "application/grpc-web+proto"
    assert [reply.service for reply in one.replies] == ["grpc-1"]
    assert one.replies[0].via[0].startswith("edge/edge/")
    assert one.trailers["grpc-status"] == "0"

    many = call(tab, f"{edge}/grpc-1/{INFO}/Watch", WatchRequest(count=4, interval_ms=400))
    assert [reply.sequence for reply in many.replies] == [1, 2, 3, 4]
    assert many.trailers["grpc-status"] == "0"
    waits = [later - sooner for sooner, later in zip(many.times, many.times[1:], strict=False)]
    print(f"messages of a stream after {many.times} ms")
    assert all(wait > 200 for wait in waits), "each message is there when it is sent"

    spread = {call(tab, f"{edge}/grpc-1/{INFO}/Get", InfoRequest()).replies[0].instance_id for _ in range(8)}
    assert spread == stack.healthy("grpc-1")
    assert window.complaints == []


def test_grpc_web_tells_a_listed_origin_why_a_call_failed(window: Window, edge: str) -> None:
    tab = window.tab(ALLOWED)
    answer = call(tab, f"{edge}/grpc-1/{INFO}/Watch", WatchRequest(count=101))
    assert answer.replies == []
    assert {**answer.headers, **answer.trailers}["grpc-status"] == "3"


def test_grpc_web_of_a_stranger_is_refused_by_the_browser_before_the_call(
    window: Window, edge: str, preflights: Callable[[Page], list[str]]
) -> None:
    tab = window.tab(STRANGER)
    seen = preflights(tab)
    assert call(tab, f"{edge}/grpc-1/{INFO}/Get", InfoRequest()).error == REFUSED
    assert soon(tab, lambda: "OPTIONS" in seen and any("CORS policy" in complaint for complaint in window.complaints))


def test_a_strangers_form_changes_nothing_where_the_own_page_may(
    counted: Callable[[str], int], window: Window, edge: str, password: str
) -> None:
    """Acceptance 62: the person is logged in all the time."""
    own = window.tab(f"{edge}/account/info")
    log_in(own, password)
    own.wait_for_url(f"{edge}/account/info")
    before = counted("envoy_http_csrf_request_invalid")
    trap = window.tab(STRANGER)
    trap.evaluate(
        """url => {
          const form = document.createElement("form");
          form.method = "post"; form.action = url;
          document.body.append(form); form.submit();
        }""",
        f"{edge}/account/info",
    )
    expect(trap.get_by_role("heading")).to_have_text("Not allowed")
    assert trap.url == f"{edge}/account/info"
    assert counted("envoy_http_csrf_request_invalid") == before + 1
    assert own.evaluate(FETCH, ["/account/info", {"method": "POST"}]) == [200, "service-2", True]
