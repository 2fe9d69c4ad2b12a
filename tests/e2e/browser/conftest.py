"""Chromium on the whole local stack. Certificates are verified: the stack's authority is in the browser's database."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Browser, BrowserContext, BrowserType, sync_playwright

from local.machines.debian_package import NotToBeHad
from tests.e2e.browser.chromium import Program, find_certutil, find_chromium, running, trust
from tests.e2e.browser.window import Window
from tests.e2e.driver import Stack
from tests.e2e.sight import addresses, total

DOMAIN = "local.mesh.internal"
FRONT_ENDS = ("localhost:3000", "stranger.example:3000")
"""Hosts of pages that call the edge: Pulumi.local.yaml allows the first."""


@pytest.fixture(scope="session")
def programs() -> tuple[Program, Program]:
    """Chromium and certutil; the first call on a host downloads them (130 MB)."""
    try:
        return find_chromium(), find_certutil()
    except NotToBeHad as error:
        pytest.skip(f"optional: {error}")


class _Blank(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>front end</title><link rel=icon href=data:,><body></body>")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def front_end() -> Iterator[str]:
    """Where the pages of others are served: `host:port`; every path is an empty page."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Blank)
    threading.Thread(target=server.serve_forever).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def edge(stack: Stack) -> str:
    """The first edge's URL."""
    return stack.urls[0]


@pytest.fixture(scope="module")
def counted(stack: Stack) -> Callable[[str], int]:
    """The sum of a counter over the edges, by its name in Prometheus."""
    edges = addresses(stack, "edge")
    return lambda name: int(sum(total(address, name) for address in edges))


@pytest.fixture(scope="module")
def named_edge(edge: str) -> str:
    """The same by the mesh's domain, which the browser resolves."""
    return f"https://{DOMAIN}:{edge.rpartition(':')[2]}"


@pytest.fixture(scope="module")
def password(stack: Stack) -> str:
    answer = stack.aws("ssm").get_parameter(Name="/envoy-mesh/local/edge/login/password", WithDecryption=True)
    return str(answer["Parameter"]["Value"])


@pytest.fixture(scope="module")
def kind(programs: tuple[Program, Program]) -> Iterator[BrowserType]:
    """Playwright's Chromium. A module's, since its event loop stays the thread's until it ends, and others need theirs."""
    with sync_playwright() as playwright:
        yield playwright.chromium


@pytest.fixture(scope="module")
def browser(
    kind: BrowserType,
    programs: tuple[Program, Program],
    stack: Stack,
    edge: str,
    front_end: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Browser]:
    chromium, certutil = programs
    home = tmp_path_factory.mktemp("browser")
    trust(certutil, stack.ca, home)
    hosts = {DOMAIN: edge.removeprefix("https://").partition(":")[0], **dict.fromkeys(FRONT_ENDS, front_end)}
    with running(kind, chromium, home, hosts) as browser:
        yield browser


@pytest.fixture
def new_window(browser: Browser) -> Iterator[Callable[..., Window]]:
    """Opens windows that share nothing; options are Playwright's of a context."""
    opened: list[BrowserContext] = []

    def open_one(**options: object) -> Window:
        context = browser.new_context(**options)  # type: ignore[arg-type]
        opened.append(context)
        return Window(context)

    yield open_one
    for context in opened:
        context.close()


@pytest.fixture
def window(new_window: Callable[..., Window]) -> Window:
    return new_window()
