"""The sample service's WebSocket, served by uvicorn, through a real edge and a real sidecar. Static config: says nothing of ADS."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from apps.common.machine import Machine
from apps.http_service.app import create_app
from model.contract import Role

pytestmark = pytest.mark.envoy

SERVICE_RESTART = 1012
ROUTES: list[dict[str, Any]] = [{"prefix": "/chat", "websocket": True}, {"prefix": "/plain"}]


class App:
    """One sample service."""

    def __init__(self, address: str) -> None:
        machine = Machine(
            host=address, port=9080, service="web", instance_id="i-1", zone="a", address=address, egress_url=f"http://{address}:15001"
        )
        app = create_app(machine, None, chain_service="-", grpc_service="-")
        config = uvicorn.Config(app, host=address, port=9080, log_level="error", proxy_headers=False)
        self.server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.server.run)
        self._thread.start()

    def close(self) -> None:
        """As SIGTERM does."""
        self.server.should_exit = True
        self._thread.join(10)


@pytest.fixture
def lab(spec_of: Any, lab_of: Any) -> Any:
    lab = lab_of(spec_of(edge={"https": 8443, "http": 8080}, web={"port": 9080, "health": {"path": "/health"}, "routes": ROUTES}))
    lab.add(Role.EDGE, "edge")
    address = lab.add(Role.SERVICE, "web")
    lab.apps[address].close()
    lab.apps[address] = App(address)
    lab.start()
    return lab


@pytest.fixture
def open_socket(lab: Any) -> Iterator[Callable[[str], ClientConnection]]:
    opened: list[ClientConnection] = []

    def make(path: str) -> ClientConnection:
        verified = ssl.create_default_context(cafile=str(lab.directory / "ca.pem"))
        opened.append(connect(f"wss://{lab.endpoints[0].address}:8443{path}", ssl=verified, proxy=None, legacy=True))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def test_the_sample_echoes_through_both_proxies_and_says_goodbye_when_it_stops(lab: Any, open_socket: Any) -> None:
    """Acceptance 105, 106, 107."""
    with lab.client() as client:
        page = client.get("/chat/ws-page")
        assert page.status_code == 200
        assert 'new URL("ws", location.href)' in page.text
    first, second = open_socket("/chat/ws"), open_socket("/chat/ws")
    for socket in (first, second):
        assert socket.recv(5).endswith("via edge/edge/i-0 > service/web/i-1")
        for text in ("HELO", "x" * 200_000):
            socket.send(text)
            assert socket.recv(5) == f"[ws] {text}"
    with pytest.raises(InvalidStatus) as refused:
        open_socket("/plain/ws")
    assert refused.value.response.status_code == 403
    started = time.monotonic()
    lab.apps[lab.endpoints[1].address].close()
    for socket in (first, second):
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(5)
        assert closed.value.rcvd
        assert closed.value.rcvd.code == SERVICE_RESTART
    assert time.monotonic() - started < 5
