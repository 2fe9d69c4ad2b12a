"""What clients of an outer edge see while edges of the origin go, and while all of them are away."""

import signal
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx
import pytest
from h2.connection import H2Connection

from model.contract import Role

pytestmark = pytest.mark.envoy

HTTP = {"port": 9080, "health": {"path": "/health"}}
ROUTES = [
    {"prefix": "/web", "cors": {"origins": ["https://app.example.com"]}, "websocket": True},
    {"prefix": "/web/closed", "maintenance": True, "cors": {"origins": ["https://app.example.com"]}},
]


@pytest.fixture(scope="module")
def double(double_of: Any) -> Any:
    double = double_of(web=HTTP | {"routes": ROUTES})
    double.add_edges(origin=3)
    double.lab.add(Role.SERVICE, "web")
    double.lab.start()
    return double


@pytest.fixture(scope="module")
def alone(double_of: Any) -> Any:
    """An outer edge whose origin has gone."""
    double = double_of(web=HTTP | {"routes": ROUTES})
    double.add_edges(origin=1)
    double.lab.start(healthy=False)
    wait_for(lambda: double.count("cluster.origin.membership_healthy") == 1)
    double.lab.envoys[double.edges[0]].kill()
    wait_for(lambda: double.count("cluster.origin.membership_healthy") == 0)
    return double


def edge_of(response: httpx.Response) -> str:
    """The edge of the origin that a request went through."""
    (via,) = response.json()["via"]
    return str(via.split(",")[1])


def test_no_request_waits_for_a_connection_between_regions(double: Any, fresh: Any) -> None:
    """There is one to each edge of the origin before the first client comes, and it stays."""
    client = fresh(double)
    wait_for(lambda: double.count("cluster.origin.upstream_cx_active") == 3)
    made = double.count("cluster.origin.upstream_cx_total")
    assert Counter(edge_of(client.get("/web")) for _ in range(60)).most_common()[-1][1] >= 15
    assert double.count("cluster.origin.upstream_cx_total") == made == 3


def test_an_answer_of_a_service_is_no_fault_of_an_edge_and_is_not_asked_for_again(double: Any, fresh: Any) -> None:
    """The origin tries a 503 four times, as it does for clients of its own; the outer edge passes the last one on."""
    client = fresh(double)
    (app,) = double.lab.apps.values()
    app.status = 503
    assert client.get("/web").status_code == 503
    assert app.count("GET") == 4
    app.status = 500
    assert {client.get("/web").status_code for _ in range(10)} == {500}
    assert double.count("cluster.origin.outlier_detection.ejections_active") == 0


def test_a_post_that_an_app_may_have_seen_is_not_sent_again(double: Any, fresh: Any) -> None:
    client = fresh(double)
    (app,) = double.lab.apps.values()
    app.breaks = True
    assert client.post("/web", content=b"once").status_code == 503
    assert app.count("POST") == 1


def test_an_edge_that_is_taken_out_of_use_gets_no_more_requests_and_none_fails(double: Any, fresh: Any) -> None:
    """Acceptance 85 at the origin's listener: the edge fails its checks, and goes on answering what it has."""
    client, leaving = fresh(double), double.edges[0]
    httpx.post(f"http://{leaving}:9901/healthcheck/fail").raise_for_status()
    try:
        wait_for(lambda: double.count("cluster.origin.membership_healthy") == 2)
        served = double.count("http.edge-origin.downstream_rq_2xx", leaving)
        assert {client.get("/web").status_code for _ in range(30)} == {200}
        assert double.count("http.edge-origin.downstream_rq_2xx", leaving) == served
    finally:
        httpx.post(f"http://{leaving}:9901/healthcheck/ok").raise_for_status()
    wait_for(lambda: double.count("cluster.origin.membership_healthy") == 3)


def test_a_clients_request_for_the_path_of_the_checks_is_a_request_like_any_other(double_of: Any, fresh: Any) -> None:
    double = double_of(web=HTTP | {"routes": [{"prefix": "/"}]})
    double.add_edges(origin=1)
    double.lab.add(Role.SERVICE, "web")
    double.lab.start()
    client = fresh(double)
    assert client.get("/healthcheck", headers={"user-agent": "Envoy/HC"}).json()["path"] == "/healthcheck"
    double.lab.wait_for_log(double.edges[0], '"path":"/healthcheck"')
    assert double.lab.log(double.edges[0]).read_text().count('"path":"/healthcheck"') == 1, "checks are not logged, the request is"


@pytest.mark.slow
def test_a_client_that_resets_all_it_asks_for_ends_its_own_connection_and_no_other(double: Any, fresh: Any) -> None:
    """Its requests share connections with everybody's, from the outer edge to the origin and from there to the sidecar."""
    client = fresh(double)
    assert {client.get("/web").status_code for _ in range(12)} == {200}
    (app,) = double.lab.apps.values()
    app.delay = 0.2
    made = [double.count("cluster.origin.upstream_cx_total"), double.count("cluster.web.upstream_cx_total", *double.edges)]
    passed = double.count("http.edge-origin.downstream_rq_rx_reset", *double.edges)
    for _ in range(4):
        reset_requests(double, 300)
    assert double.count("http.edge-origin.downstream_rq_rx_reset", *double.edges) - passed > 750
    assert made == [double.count("cluster.origin.upstream_cx_total"), double.count("cluster.web.upstream_cx_total", *double.edges)]


def reset_requests(double: Any, count: int) -> None:
    """One connection that resets each request once the origin has it; the outer edge ends it for that."""
    outer = double.outers[0]
    trust = ssl.create_default_context(cafile=str(double.lab.directory / "ca.pem"))
    trust.set_alpn_protocols(["h2"])
    connection = H2Connection()
    connection.initiate_connection()
    asked = [(":method", "GET"), (":scheme", "https"), (":path", "/web"), (":authority", outer)]
    with trust.wrap_socket(socket.create_connection((outer, 8443), timeout=5), server_hostname=outer) as client, suppress(OSError):
        for stream in range(1, 2 * count, 2):
            connection.send_headers(stream, asked, end_stream=True)
            client.sendall(connection.data_to_send())
            time.sleep(0.002)
            connection.reset_stream(stream)
            client.sendall(connection.data_to_send())


def test_no_request_fails_while_an_edge_of_the_origin_dies(double: Any, fresh: Any) -> None:
    """Runs last of those that share the lab: it has one edge less."""
    fresh(double)
    dying = double.edges[-1]
    statuses = under_load(double, lambda: double.lab.envoys[dying].kill(), healthy=2)
    assert set(statuses) == {200}, statuses


@pytest.mark.slow
def test_an_edge_of_the_origin_that_hangs_costs_time_and_no_request(double_of: Any) -> None:
    """A stopped process keeps its connections, as a machine does whose network is gone: pings and checks find out."""
    double = double_of(web=HTTP | {"routes": ROUTES})
    double.add_edges(origin=2)
    double.lab.add(Role.SERVICE, "web")
    double.lab.start()
    hanging = double.lab.envoys[double.edges[0]]
    try:
        statuses = under_load(double, lambda: hanging.send_signal(signal.SIGSTOP), healthy=1)
    finally:
        hanging.send_signal(signal.SIGCONT)
    assert set(statuses) == {200}, statuses


def under_load(double: Any, break_it: Callable[[], None], *, healthy: int) -> Counter[int]:
    """Statuses of GETs by four clients from before something breaks until long after the outer edge knows it."""
    over, statuses = threading.Event(), Counter[int]()

    def load() -> None:
        with double.client(timeout=20) as client:
            while not over.is_set():
                statuses[client.get("/web").status_code] += 1

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(load) for _ in range(4)]
        try:
            wait_for(lambda: statuses.total() > 20)
            break_it()
            wait_for(lambda: double.count("cluster.origin.membership_healthy") == healthy)
            enough = statuses.total() + 100
            wait_for(lambda: statuses.total() > enough)
        finally:
            over.set()
        for one in running:
            one.result()
    return statuses


def test_without_an_origin_the_outer_edge_says_so_itself(alone: Any, fresh: Any) -> None:
    client = fresh(alone)
    for accept, holds in (("application/json", '"error":"no healthy upstream"'), ("text/html", "<h1>"), ("*/*", "no healthy upstream")):
        response = client.get("/web", headers={"accept": accept})
        assert response.status_code == 503
        assert holds in response.text
        assert response.headers["x-request-id"] in (response.text if accept != "*/*" else response.headers["x-request-id"])
        assert response.headers["x-frame-options"] == "DENY"


def test_without_an_origin_the_outer_edge_is_healthy_and_answers_what_needs_none(alone: Any, fresh: Any) -> None:
    client, outer = fresh(alone), alone.outers[0]
    assert httpx.get(f"http://{outer}:9902/healthcheck").status_code == 200
    assert httpx.get(f"http://{outer}:9902/ready").status_code == 200
    redirected = httpx.get(f"http://{outer}:8080/web?x=1")
    assert (redirected.status_code, redirected.headers["location"]) == (301, f"https://{outer}:8443/web?x=1")
    closed = client.get("/web/closed", headers={"accept": "*/*"})
    assert (closed.status_code, closed.text, closed.headers["retry-after"]) == (503, "under maintenance\n", "60")
    assert client.get("/nowhere").status_code == 404
    asked = {"origin": "https://app.example.com", "access-control-request-method": "GET"}
    for method, path in (("OPTIONS", "/web"), ("OPTIONS", "/web/closed"), ("GET", "/web/closed")):
        answer = client.request(method, path, headers=asked)
        assert answer.headers["access-control-allow-origin"] == asked["origin"]
        assert answer.headers["vary"] == "Origin"
    assert client.get("/web", headers={"host": "a, b"}).status_code == 400


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)
