"""The pages that people see: on a phone as on a desk, without a complaint on the console, and safe from other sites."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.e2e.browser.conftest import FRONT_ENDS
from tests.e2e.browser.window import Window, soon

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PAGES = {"login": "/account/headers", "websocket": "/service-1/ws-page", "error": "/nothing"}
PHONE = {"viewport": {"width": 320, "height": 568}, "is_mobile": True, "has_touch": True}
EMBED = """
url => {
  const frame = document.createElement("iframe");
  frame.src = url;
  document.body.append(frame);
}
"""
RUN = """
url => new Promise(done => {
  const script = document.createElement("script");
  script.src = url; script.onload = () => done("run"); script.onerror = () => done("refused");
  document.body.append(script);
})
"""


@pytest.mark.parametrize("page", PAGES)
def test_a_page_fits_a_phone(page: str, new_window: Callable[..., Window], edge: str) -> None:
    tab = new_window(**PHONE).tab(edge + PAGES[page])
    assert tab.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [320, 320]
    assert float(tab.evaluate("parseFloat(getComputedStyle(document.body).fontSize)")) >= 16


@pytest.mark.parametrize("page", ["login", "websocket"])
def test_a_page_has_nothing_to_complain_of(page: str, window: Window, edge: str) -> None:
    """Its own content security policy least of all."""
    tab = window.tab(edge + PAGES[page])
    expect(tab.get_by_role("heading")).to_be_visible()
    tab.wait_for_load_state("networkidle")
    assert window.complaints == []
    assert tab.evaluate("document.documentElement.lang") == "en"
    for field in tab.locator("input").all():
        assert field.evaluate("input => input.labels.length > 0 || input.getAttribute('aria-label') !== null"), "a field has no label"


@pytest.mark.parametrize("page", PAGES)
def test_no_other_site_can_put_a_page_into_a_frame(page: str, window: Window, edge: str) -> None:
    tab = window.tab(f"http://{FRONT_ENDS[0]}")
    tab.evaluate(EMBED, edge + PAGES[page])
    assert soon(tab, lambda: [frame.url for frame in tab.frames[1:]] == ["chrome-error://chromewebdata/"])


def test_an_answer_that_is_no_script_is_not_run_as_one(window: Window, edge: str) -> None:
    tab = window.tab(f"{edge}/service-1/info")
    assert tab.evaluate(RUN, f"{edge}/service-1/info") == "refused"
    assert soon(tab, lambda: any("MIME type" in complaint for complaint in window.complaints))


def test_the_login_page_runs_no_script_and_sends_its_form_nowhere_else(window: Window, edge: str) -> None:
    tab = window.tab(edge + PAGES["login"])
    script = "document.body.append(Object.assign(document.createElement('script'), {textContent: 'document.title = 1'}))"
    tab.evaluate(script)
    assert tab.title() == "Log in"
    with tab.expect_console_message(lambda message: "form-action" in message.text):
        tab.evaluate(f"document.forms[0].action = 'http://{FRONT_ENDS[1]}/'; document.forms[0].submit()")
    assert not [answer for answer in window.answers if FRONT_ENDS[1] in answer.url]
