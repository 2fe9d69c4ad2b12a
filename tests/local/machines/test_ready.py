"""Probes against real servers on loopback."""

import asyncio
import http.server
import socket
import threading
from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from local.machines.ready import Probe


def ask(url: str) -> str | None:
    return asyncio.run(Probe.parse(url).problem())


@pytest.fixture
def web() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(int(self.path.strip("/").partition("?")[0]))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("status", [200, 204, 302, 404])
def test_an_http_answer_below_500_is_ready(web: str, status: int) -> None:
    assert ask(f"{web}/{status}?x=1") is None


def test_an_http_answer_from_500_is_not(web: str) -> None:
    assert ask(f"{web}/503") == f"{web}/503 answers 503"


def test_a_closed_port_refuses(web: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert ask(f"tcp://127.0.0.1:{port}") is None
    assert ask(f"tcp://127.0.0.1:{port}") == f"tcp://127.0.0.1:{port} refuses connections"
    assert ask(f"http://127.0.0.1:{port}/") == f"http://127.0.0.1:{port}/ refuses connections"


def test_a_server_that_says_nothing_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert ask(f"http://127.0.0.1:{port}/") == f"http://127.0.0.1:{port}/ does not answer within 1 s"


def test_a_grpc_server_is_ready_when_its_health_service_says_so() -> None:
    servicer = health.HealthServicer()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        url = f"grpc://127.0.0.1:{port}"
        assert ask(url) is None
        servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        assert ask(url) == f"{url} is NOT_SERVING"
        servicer.set("named", health_pb2.HealthCheckResponse.SERVING)
        assert ask(f"{url}/named") is None
        assert "is UNKNOWN" in str(ask(f"{url}/nosuch"))
    finally:
        server.stop(None)


@pytest.mark.parametrize("url", ["ftp://a:1", "http://a", "a:1", "postgres://a:1"])
def test_a_url_that_is_no_probe_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not <http"):
        Probe.parse(url)
