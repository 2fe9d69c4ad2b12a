"""The sample HTTP service, over its ASGI interface with a real gRPC service and a real second instance behind it."""

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from apps.common.machine import Machine
from apps.http_service.app import create_app

THROUGH_THE_EDGE = {
    "host": "mesh.example:8443",
    "x-forwarded-proto": "https",
    "x-forwarded-prefix": "/service-1",
    "x-request-id": "8b4b1f6e-0000-4000-8000-000000000001",
    "via": "1.1 edge/edge/i-1, 1.1 service/service-1/i-2",
}


def app_of(machine: Machine) -> FastAPI:
    return create_app(machine, None, chain_service="service-2", grpc_service="grpc-1")


def ask(app: FastAPI, path: str, **headers: str) -> httpx.Response:
    async def run() -> httpx.Response:
        async with app.router.lifespan_context(app), httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(run())


@pytest.fixture
def next_service(machine_named: Callable[..., Machine]) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app_of(machine_named("service-2")), host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def test_info_names_the_machine_the_clients_url_and_the_way_passed(machine_named: Callable[..., Machine]) -> None:
    body: dict[str, Any] = ask(app_of(machine_named("service-1")), "/info?x=1", **THROUGH_THE_EDGE).json()
    assert body == {
        "service": "service-1",
        "instance_id": "i-service-1",
        "zone": "eu-central-1a",
        "address": "127.0.0.9",
        "url": "https://mesh.example:8443/service-1/info?x=1",
        "request_id": THROUGH_THE_EDGE["x-request-id"],
        "via": ["edge/edge/i-1", "service/service-1/i-2"],
    }


def test_headers_shows_what_reached_the_app(machine_named: Callable[..., Machine]) -> None:
    body = ask(app_of(machine_named("service-1")), "/headers", **{"x-color": "blue"}).json()
    assert body["headers"]["x-color"] == "blue"


def test_grpc_calls_the_other_service_and_keeps_the_request_id(machine_named: Callable[..., Machine], grpc_service: str) -> None:
    body = ask(app_of(machine_named("service-1", egress=grpc_service)), "/grpc", **THROUGH_THE_EDGE).json()
    assert body["next"]["service"] == "grpc-1"
    assert body["next"]["request_id"] == THROUGH_THE_EDGE["x-request-id"]


def test_a_grpc_error_is_a_502_that_names_the_code(machine_named: Callable[..., Machine], grpc_service: str) -> None:
    response = ask(app_of(machine_named("service-1", egress=grpc_service)), "/grpc?query=true")
    assert response.status_code == 502
    assert "FAILED_PRECONDITION" in response.json()["detail"]


def test_chain_calls_the_next_service_by_its_name(machine_named: Callable[..., Machine], next_service: str) -> None:
    body = ask(app_of(machine_named("service-1", egress=next_service)), "/chain", **THROUGH_THE_EDGE).json()
    assert body["next"]["service"] == "service-2"
    assert body["next"]["url"] == "http://service-2/info"
    assert body["next"]["request_id"] == THROUGH_THE_EDGE["x-request-id"]


def test_a_next_service_that_is_away_is_a_502(machine_named: Callable[..., Machine]) -> None:
    response = ask(app_of(machine_named("service-1")), "/chain")
    assert (response.status_code, response.json()["detail"]) == (502, "service-2 was not reached: ConnectError")


def test_db_without_a_database_says_what_is_missing(machine_named: Callable[..., Machine]) -> None:
    response = ask(app_of(machine_named("service-1")), "/db")
    assert (response.status_code, response.json()["detail"]) == (501, "service-1 has no `postgres` in its calls")


def test_metrics_count_answers_by_method_and_status_but_no_probes(machine_named: Callable[..., Machine]) -> None:
    app = app_of(machine_named("service-1"))
    ask(app, "/info")
    ask(app, "/nothing")
    before = ask(app, "/metrics").text
    ask(app, "/health")
    page = ask(app, "/metrics")
    assert re.findall("^http_requests_total.*", page.text, re.MULTILINE) == re.findall("^http_requests_total.*", before, re.MULTILINE)
    assert 'http_requests_total{method="GET",status="404"} 1.0' in page.text
    assert 'http_requests_total{method="GET",status="200"}' in page.text
