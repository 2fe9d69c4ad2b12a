"""The sample's WebSocket page: live over the edge's HTTP/2 connection, and back by itself after its instance left."""

import re
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser.window import Window, soon
from tests.e2e.driver import Stack, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CONNECTED = re.compile(r"← service-1 (i-[0-9a-f]+) at ")
AWAY_SECONDS = 20


def connections(tab: Page) -> list[str]:
    """Instances that the page was connected to, in order."""
    return CONNECTED.findall(tab.inner_text("#log"))


def app_of(stack: Stack, instance: str) -> psutil.Process:
    """The sample's process on an instance of service-1."""
    address = next(one["address"] for one in stack.machines() if one["id"] == instance)
    for process in stack.processes():
        if "apps.http_service" in process.cmdline() and process.environ().get("HOST") == address:
            return process
    raise AssertionError(f"{instance} has no app")


def test_the_page_shows_who_answers_and_every_echo(counted: Callable[[str], int], window: Window, edge: str) -> None:
    """Acceptance 105, by extended CONNECT as browsers do it where the page came by HTTP/2."""
    before = counted("envoy_http_downstream_cx_upgrades_total")
    tab = window.tab()
    handshakes: list[dict[str, Any]] = []
    tools = window.context.new_cdp_session(tab)
    tools.on("Network.webSocketHandshakeResponseReceived", lambda event: handshakes.append(event))
    tools.send("Network.enable")
    tab.goto(f"{edge}/service-1/ws-page")
    expect(tab.get_by_role("status")).to_have_text("State: open")
    for text in ("HELO", "ünïcode <b>"):
        tab.get_by_label("message").fill(text)
        tab.get_by_role("button", name="Send").click()
        expect(tab.get_by_role("log")).to_contain_text(f"→ {text}\n← [ws] {text}")
    assert tab.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol") == "h2"
    assert soon(tab, lambda: [handshake["response"]["status"] for handshake in handshakes] == [200]), "101 would be HTTP/1.1"
    assert counted("envoy_http_downstream_cx_upgrades_total") == before + 1
    assert window.complaints == []


def test_the_page_says_that_its_server_stopped_and_connects_to_another(stack: Stack, window: Window, edge: str) -> None:
    tab = window.tab(f"{edge}/service-1/ws-page")
    expect(tab.get_by_role("status")).to_have_text("State: open")
    [first] = connections(tab)
    app_of(stack, first).terminate()
    eventually("the page is connected again", lambda: len(connections(tab)) == 2, seconds=AWAY_SECONDS)
    expect(tab.get_by_role("log")).to_contain_text("× closed (1012)")
    expect(tab.get_by_role("status")).to_have_text("State: open")
    tab.get_by_role("button", name="Send").click()
    expect(tab.get_by_role("log")).to_contain_text("← [ws] HELO")
    eventually("the app is back", lambda: first in stack.healthy("service-1"), seconds=AWAY_SECONDS)
