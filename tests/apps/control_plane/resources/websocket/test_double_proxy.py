"""WebSocket through an outer edge, an edge and a sidecar, over HTTP/1.1 and HTTP/2 towards the client."""

import struct
import time
from collections.abc import Callable
from typing import Any

import pytest

from model.contract import Role

pytestmark = pytest.mark.envoy

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
OUTER = [{"region": "us-east-1", "cidr": "10.30.0.0/16", "ami": "ami-0123456789abcdef0"}]


@pytest.fixture(scope="module")
def lab(echo_lab: Any) -> Any:
    """Clients connect to the outer edge; plain requests have a second at the two edges."""
    return echo_lab((Role.OUTER_EDGE, "us-east-1"), (Role.EDGE, "edge"), outer=OUTER)


@pytest.fixture
def connection(lab: Any, kind: Any) -> Any:
    one = kind(lab, "/open/ws?room=1")
    yield one
    one.close()
    eventually(lambda: active(lab) == [0, 0, 0])


def active(lab: Any) -> list[int]:
    prefixes = ("edge-https", "edge-origin", "ingress")
    names = [f"http.{prefix}.downstream_cx_upgrades_active" for prefix in prefixes]
    return [int(lab.statistics(machine.address).get(name, 0)) for machine, name in zip(lab.endpoints, names, strict=True)]


def test_messages_go_both_ways_for_longer_than_plain_requests_may_take(lab: Any, connection: Any) -> None:
    """Acceptance 105, 110, K: the outer edge ends the client's connection, and its own to the origin is extended CONNECT."""
    assert connection.status == connection.OPEN
    assert active(lab) == [1, 1, 1]
    for text in (b"HELO", b"x" * 300_000):
        connection.frames.send(TEXT, text)
        assert connection.frames.receive() == (TEXT, b"[ws] " + text)
    time.sleep(1.3)
    connection.frames.send(PING, b"p")
    assert connection.frames.receive() == (PONG, b"p")
    seen = lab.apps[lab.endpoints[2].address].seen[-1]
    assert seen[":line"] == "GET /ws?room=1 HTTP/1.1"
    assert [part.split("/")[0] for part in seen["via"].split(",")] == ["1.1 outer-edge", "1.1 edge", "1.1 service"]


def test_closing_passes_through_all_hops(lab: Any, connection: Any) -> None:
    app = lab.apps[lab.endpoints[2].address]
    app.closed.clear()
    connection.frames.send(CLOSE, struct.pack(">H", 1000))
    assert connection.frames.receive() == (CLOSE, struct.pack(">H", 1000))
    assert app.closed == [struct.pack(">H", 1000)]


def test_a_client_that_vanishes_is_told_to_the_app(lab: Any, kind: Any) -> None:
    app = lab.apps[lab.endpoints[2].address]
    app.closed.clear()
    kind(lab, "/open/ws").close()
    eventually(lambda: len(app.closed) == 1 and active(lab) == [0, 0, 0])


def test_an_upgrade_that_a_route_does_not_allow_or_that_lacks_its_token_reaches_no_app(lab: Any, kind: Any) -> None:
    """Acceptance 107: the outer edge refuses the first; the second is the origin's to refuse."""
    app = lab.apps[lab.endpoints[2].address]
    app.seen.clear()
    for path, status in (("/plain/ws", 403), ("/guarded/ws", 401)):
        one = kind(lab, path)
        assert one.status == status
        one.close()
    assert not app.seen
    assert int(lab.statistics(lab.endpoints[0].address)["http.edge-https.downstream_rq_ws_on_non_ws_route"]) >= 1


def eventually(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)
