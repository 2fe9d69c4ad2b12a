"""Fixtures of the sample services: a machine's facts, a running gRPC service, a running Postgres."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator

import grpc
import pytest

from apps.common.machine import Machine
from apps.grpc_service.servicer import Info
from apps.protos import info_pb2_grpc


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def machine_named() -> Callable[..., Machine]:
    def make(service: str, *, port: int = 0, egress: str = "127.0.0.1:1") -> Machine:
        return Machine(
            host="127.0.0.1",
            port=port,
            service=service,
            instance_id=f"i-{service}",
            zone="eu-central-1a",
            address="127.0.0.9",
            egress_url=f"http://{egress}",
        )

    return make


@pytest.fixture
def grpc_service(machine_named: Callable[..., Machine]) -> Iterator[str]:
    """`host:port` of a running sample gRPC service without a database."""
    started, port, loop = threading.Event(), [0], asyncio.new_event_loop()

    async def serve() -> None:
        server = grpc.aio.server()
        info_pb2_grpc.add_InfoServicer_to_server(Info(machine_named("grpc-1"), None), server)
        port[0] = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        stopped = asyncio.Event()
        loop.stopped = stopped  # type: ignore[attr-defined]
        started.set()
        await stopped.wait()
        await server.stop(0)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(10)
    yield f"127.0.0.1:{port[0]}"
    loop.call_soon_threadsafe(loop.stopped.set)  # type: ignore[attr-defined]
    thread.join()
    loop.close()
