"""WebSocket to the sample service of the local stack, through both edges."""

import ssl

import h2.config
import h2.connection
import h2.events
import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.e2e.driver import Stack, eventually
from tests.e2e.sight import growth, statistics
from tests.e2e.test_edge_door import connect as connect_tls

pytestmark = pytest.mark.e2e

TOTAL, ACTIVE, REFUSED = (
    f"http.edge-https.{name}"
    for name in ("downstream_cx_upgrades_total", "downstream_cx_upgrades_active", "downstream_rq_ws_on_non_ws_route")
)


def opened(stack: Stack, url: str, path: str) -> ClientConnection:
    verified = ssl.create_default_context(cafile=str(stack.ca))
    return connect(url.replace("https", "wss") + path, ssl=verified, proxy=None)


def test_messages_are_echoed_on_one_connection_which_is_counted_while_it_lasts(stack: Stack, urls: list[str], edges: list[str]) -> None:
    """Acceptance 105, 106, 108; the client library has checked `sec-websocket-accept`."""
    for url in urls:
        with growth(edges, TOTAL) as counted, opened(stack, url, "/service-1/ws") as socket:
            assert "via edge/edge/" in str(socket.recv(5))
            for text in ("HELO", "again"):
                socket.send(text)
                assert socket.recv(5) == f"[ws] {text}"
            assert sum(statistics(edge)[ACTIVE] for edge in edges) == 1
        assert counted == {TOTAL: 1}
        eventually("the upgrade has ended", lambda: not any(statistics(edge)[ACTIVE] for edge in edges), seconds=5)
        with stack.client(url) as client:
            assert client.get("/service-1/info").status_code == 200
            assert client.get("/service-1/ws-page").status_code == 200


def test_a_route_without_websocket_opens_none(stack: Stack, urls: list[str], edges: list[str]) -> None:
    """Acceptance 107."""
    with growth(edges, REFUSED, TOTAL) as counted:
        for url in urls:
            with pytest.raises(InvalidStatus) as refused:
                opened(stack, url, "/service-2/ws")
            assert refused.value.response.status_code == 403
    assert counted == {REFUSED: len(urls), TOTAL: 0}


def test_http2_opens_one_by_extended_connect(stack: Stack, urls: list[str]) -> None:
    """Acceptance 110."""
    with connect_tls(stack, urls[0], "h2") as edge:
        client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        client.initiate_connection()
        edge.sendall(client.data_to_send())
        while not client.remote_settings.enable_connect_protocol:
            client.receive_data(edge.recv(65536))
        asked = {":method": "CONNECT", ":protocol": "websocket", ":scheme": "https", ":path": "/service-1/ws"}
        client.send_headers(1, [*asked.items(), (":authority", httpx.URL(urls[0]).netloc.decode()), ("sec-websocket-version", "13")])
        edge.sendall(client.data_to_send())
        answers: list[h2.events.ResponseReceived] = []
        while not answers:
            answers += [event for event in client.receive_data(edge.recv(65536)) if isinstance(event, h2.events.ResponseReceived)]
        assert dict(answers[0].headers or [])[":status"] == "200"
