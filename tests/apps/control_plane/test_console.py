"""The console's HTTP, asked by a real client and by broken ones."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest
from prometheus_client import CollectorRegistry

from apps.control_plane.console import Answer, Console, json_answer, metrics_page
from apps.control_plane.metrics import Metrics


def with_console(scenario: Callable[[int], Awaitable[None]]) -> None:
    registry = CollectorRegistry()
    Metrics(registry=registry).faults.labels("ec2:DescribeInstances", "Throttling").inc()
    pages = {
        "/ready": lambda: Answer(status=503, body=b"waits\n"),
        "/nodes": lambda: json_answer({"nodes": []}),
        "/metrics": metrics_page(registry),
    }

    async def run() -> None:
        console = Console(pages)
        port = await console.start("127.0.0.1", 0)
        try:
            await scenario(port)
        finally:
            await console.stop()

    asyncio.run(run())


def test_pages_are_served_on_one_kept_connection() -> None:
    async def scenario(port: int) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=httpx.Limits(max_connections=1)) as client:
            ready = await client.get("/ready?x=1")
            assert (ready.status_code, ready.text) == (503, "waits\n")
            assert (await client.get("/nodes")).json() == {"nodes": []}
            text = (await client.get("/metrics")).text
            assert 'mesh_control_plane_faults_total{api="ec2:DescribeInstances",code="Throttling"} 1.0' in text
            assert (await client.head("/ready")).content == b""
            assert (await client.post("/ready", content=b"x" * 100_000)).status_code == 405
            missing = await client.get("/other")
            assert missing.status_code == 404
            assert "/metrics, /nodes, /ready" in missing.text

    with_console(scenario)


@pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00" * 9 + b"\r\n\r\n"])
def test_what_is_no_http_gets_a_400_and_the_end(sent: bytes) -> None:
    async def scenario(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()

    with_console(scenario)


def test_an_open_connection_does_not_hold_up_the_stop() -> None:
    async def scenario(port: int) -> None:
        await asyncio.open_connection("127.0.0.1", port)

    with_console(scenario)
