"""The sample's WebSocket, over its ASGI interface: says nothing of the server below it."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from apps.common.machine import Machine
from apps.http_service.app import create_app


@pytest.fixture
def client(machine_named: Callable[..., Machine]) -> TestClient:
    return TestClient(create_app(machine_named("service-1"), None, chain_service="service-2", grpc_service="grpc-1"))


def test_it_says_who_answers_then_echoes(client: TestClient) -> None:
    """Acceptance 105."""
    with client.websocket_connect("/ws", headers={"via": "1.1 edge/edge/i-1, 1.1 service/service-1/i-2"}) as socket:
        assert socket.receive_text() == "service-1 i-service-1 at 127.0.0.9, via edge/edge/i-1 > service/service-1/i-2"
        for text in ("HELO", "again"):
            socket.send_text(text)
            assert socket.receive_text() == f"[ws] {text}"


def test_the_page_connects_to_the_endpoint_beside_it(client: TestClient) -> None:
    page = client.get("/ws-page")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert 'new URL("ws", location.href)' in page.text


def test_other_paths_take_no_websocket(client: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/info"):
        pass
