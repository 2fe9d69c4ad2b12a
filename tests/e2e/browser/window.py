"""A browser window with cookies of its own: what it saw, and how a person logs in with it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Response, expect

PATIENCE_SECONDS = 15.0
"""For a page to become as it should; the machine may be busy."""
expect.set_options(timeout=PATIENCE_SECONDS * 1000)


@dataclass
class Window:
    """Records what each of its tabs complains of and every answer that it got."""

    context: BrowserContext
    complaints: list[str] = field(default_factory=list)
    """Errors and warnings on the console, and scripts that failed."""
    answers: list[Response] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.context.on("console", self._heard)
        self.context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        self.context.on("response", lambda answer: self.answers.append(answer))

    def tab(self, url: str | None = None) -> Page:
        """A new tab, at `url`."""
        page = self.context.new_page()
        if url:
            page.goto(url)
        return page

    def cookies(self) -> dict[str, Any]:
        """The window's cookies by name, with their attributes."""
        return {cookie["name"]: cookie for cookie in self.context.cookies()}

    def documents(self) -> list[tuple[int, str]]:
        """Status and path of each page that was asked for, in order."""
        pages = [answer for answer in self.answers if answer.request.is_navigation_request()]
        return [(answer.status, answer.url.partition("?")[0].split("/", 3)[3]) for answer in pages]

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({message.location['url']})")


def soon(tab: Page, check: Callable[[], bool]) -> bool:
    """Whether `check` holds within a while, in which the events of the tab's window are heard."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not check() and time.monotonic() < until:
        tab.wait_for_timeout(50)
    return check()


def log_in(tab: Page, password: str, *, name: str = "ann") -> None:
    """Fills in the login page and sends it, without waiting for where it leads."""
    tab.get_by_label("Name").fill(name)
    tab.get_by_label("Password").fill(password)
    tab.get_by_role("button", name="Log in").click(no_wait_after=True)
