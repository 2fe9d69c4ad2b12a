"""What an app reaches through its sidecar, and what it does not. Static config: says nothing of ADS."""

import socket
from collections import Counter
from typing import Any

import grpc
import httpx
import pytest

from model.contract import Role

pytestmark = pytest.mark.envoy

HTTP = {"health": {"path": "/health"}}
CALLER, SERVICE_2A, SERVICE_2B, GRPC_A, GRPC_B, QUEUE, DATABASE = range(7)


@pytest.fixture(scope="module")
def lab(spec_of: Any, lab_of: Any) -> Any:
    spec = spec_of(
        database=True,
        service_1=HTTP | {"port": 9080, "calls": ["service-2", "grpc-1", "queue", "postgres"]},
        service_2=HTTP | {"port": 9080, "routes": [{"prefix": "/x", "timeout": "30s"}]},
        service_3=HTTP | {"port": 9080},
        grpc_1={"protocol": "grpc", "port": 50051},
        queue={"protocol": "tcp", "port": 6379},
    )
    lab = lab_of(spec)
    for service in ("service-1", "service-2", "service-2", "grpc-1", "grpc-1", "queue"):
        lab.add(Role.SERVICE, service)
    lab.add(Role.DATABASE, "postgres")
    lab.start()
    return lab


def address(lab: Any, index: int) -> str:
    return str(lab.endpoints[index].address)


def call(lab: Any, authority: str, path: str = "/", *, method: str = "GET", **options: Any) -> httpx.Response:
    headers = {"host": authority} | options.pop("headers", {})
    return httpx.request(method, f"http://{address(lab, CALLER)}:15001{path}", headers=headers, **options)


def call_grpc(lab: Any, method: str) -> None:
    with grpc.insecure_channel(f"{address(lab, CALLER)}:15001", options=[("grpc.default_authority", "grpc-1")]) as channel:
        channel.unary_unary(method)(b"", timeout=5)


@pytest.mark.parametrize("authority", ["service-2", "service-2:15001", "service-2.dev.mesh.internal", "SERVICE-2.dev.mesh.internal:80"])
def test_a_service_is_called_by_its_name(lab: Any, authority: str) -> None:
    response = call(lab, authority, "/a/b?c=d")
    assert response.status_code == 200
    assert response.json()["path"] == "/a/b?c=d"


@pytest.mark.parametrize("authority", ["service-3", "service-1", "postgres", "queue", "service-2.evil.example", "example.com", "app"])
def test_nothing_that_is_not_in_calls_is_reached_by_egress(lab: Any, authority: str) -> None:
    assert call(lab, authority).status_code == 404


def test_the_same_request_id_and_every_proxy_are_seen_down_the_road(lab: Any) -> None:
    request_id = "4ad3f0a4-7b53-4c2e-9e6a-0a6c3f0ce001"
    headers = {"x-request-id": request_id, "via": "1.1 edge/edge/i-9"}
    seen = call(lab, "service-2", headers=headers).json()
    assert seen["headers"]["x-request-id"] == request_id
    assert seen["headers"]["x-envoy-expected-rq-timeout-ms"] == "30000"
    passed = [part.strip() for value in seen["via"] for part in value.split(",")]
    assert passed[:2] == ["1.1 edge/edge/i-9", "1.1 service/service-1/i-0"]
    assert passed[2].startswith("1.1 service/service-2/i-")
    assert len(passed) == 3


def test_what_an_app_says_of_a_clients_certificate_goes_nowhere(lab: Any) -> None:
    """Acceptance 92: only an edge may, and a sidecar passes on what it says."""
    forged = {"x-forwarded-client-cert": "Hash=00;URI=spiffe://evil"}
    assert "x-forwarded-client-cert" not in call(lab, "service-2", headers=forged).json()["headers"]


def test_http_calls_are_balanced(lab: Any) -> None:
    assert sorted(Counter(call(lab, "service-2").json()["address"] for _ in range(20)).values()) == [10, 10]


@pytest.mark.parametrize("authority", ["grpc-1", "grpc-1.dev.mesh.internal:15001"])
def test_each_call_of_one_grpc_channel_is_balanced(lab: Any, authority: str) -> None:
    options = [("grpc.default_authority", authority)]
    with grpc.insecure_channel(f"{address(lab, CALLER)}:15001", options=options) as channel:
        method = channel.unary_unary("/mesh.Info/Get")
        answers = Counter(method(b"", timeout=5).decode() for _ in range(20))
    assert answers == {address(lab, GRPC_A): 10, address(lab, GRPC_B): 10}


def test_grpc_is_counted_by_method(lab: Any) -> None:
    """Acceptance 104."""
    call_grpc(lab, "/mesh.Info/Counted")
    statistics = lab.statistics(address(lab, CALLER))
    assert statistics["cluster.grpc-1.grpc.mesh.Info.Counted.0"] == "1"
    assert statistics["cluster.grpc-1.grpc.mesh.Info.Counted.success"] == "1"


@pytest.mark.parametrize(("port", "target"), [(6379, QUEUE), (5432, DATABASE)])
def test_tcp_services_and_postgres_are_on_the_callers_loopback(lab: Any, port: int, target: int) -> None:
    with socket.create_connection((address(lab, CALLER), port), timeout=5) as connection:
        stream = connection.makefile("rwb")
        assert stream.readline() == f"hello from {address(lab, target)}\n".encode()
        stream.write(b"echo\n")
        stream.flush()
        assert stream.readline() == b"echo\n"


def test_a_sidecar_without_calls_opens_no_door(lab: Any) -> None:
    for port in (5432, 6379):
        with socket.socket() as connection:
            assert connection.connect_ex((address(lab, SERVICE_2A), port))
    assert httpx.get(f"http://{address(lab, SERVICE_2A)}:15001", headers={"host": "service-1"}).status_code == 404


def test_between_sidecars_it_is_http2(lab: Any) -> None:
    call(lab, "service-2")
    statistics = lab.statistics(address(lab, SERVICE_2A))
    assert int(statistics["http.ingress.downstream_cx_http2_total"]) >= 1
    assert statistics.get("http.ingress.downstream_cx_http1_total", "0") == "0"


def test_health_checks_are_not_logged_and_requests_are(lab: Any) -> None:
    call(lab, "service-2", "/logged")
    call(lab, "service-2", "/logged")
    lab.wait_for_log(address(lab, SERVICE_2A), "/logged")
    assert "Envoy/HC" not in lab.log(address(lab, SERVICE_2A)).read_text()


def test_metrics_show_what_matters_in_few_series(lab: Any) -> None:
    """Acceptance 159; at most 300 series a sidecar, counted as Prometheus scrapes them."""
    call(lab, "service-2")
    call_grpc(lab, "/mesh.Info/Scraped")
    with socket.create_connection((address(lab, CALLER), 5432), timeout=5) as connection:
        assert connection.recv(100)
    text = httpx.get(f"http://{address(lab, CALLER)}:9902/stats/prometheus?usedonly").text
    series = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert "envoy_server_live{} 1" in series
    assert any(
        line.startswith('envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="service-2"}') for line in series
    )
    assert any(line.startswith("envoy_http_downstream_rq_xx{") and 'envoy_http_conn_manager_prefix="egress"' in line for line in series)
    assert any(line.startswith('envoy_cluster_membership_healthy{envoy_cluster_name="service-2"} 2') for line in series)
    assert any(line.startswith('envoy_tcp_downstream_cx_total{envoy_tcp_prefix="postgres"}') for line in series)
    grpc_calls = next(line for line in series if line.startswith("envoy_cluster_grpc_0{") and 'envoy_grpc_bridge_method="Scraped"' in line)
    assert 'envoy_grpc_bridge_service="mesh.Info"' in grpc_calls
    assert len(series) <= 300, Counter(line.split("{")[0] for line in series).most_common(20)


@pytest.mark.parametrize(
    ("path", "method", "status"), [("/ready", "GET", 200), ("/stats", "GET", 404), ("/quitquitquit", "POST", 404), ("/ready", "POST", 404)]
)
def test_of_admin_only_metrics_and_readiness_are_shown(lab: Any, path: str, method: str, status: int) -> None:
    assert httpx.request(method, f"http://{address(lab, CALLER)}:9902{path}").status_code == status


def test_a_killed_machine_costs_no_get_and_replays_no_post(spec_of: Any, lab_of: Any) -> None:
    """Acceptance 81."""
    lab = lab_of(spec_of(edge={"https": 8443, "http": 8080}, web=HTTP | {"port": 9080, "routes": [{"prefix": "/web"}]}))
    lab.add(Role.EDGE, "edge")
    lab.add(Role.SERVICE, "web")
    doomed = lab.add(Role.SERVICE, "web")
    lab.start()
    with lab.client(http2=True) as client:
        assert {client.get("/web").json()["address"] for _ in range(10)} == {address(lab, 1), doomed}
        lab.kill(doomed)
        assert Counter(client.get("/web").status_code for _ in range(200)) == {200: 200}
        posts = Counter(client.post("/web").status_code for _ in range(50))
    assert posts == {200: 50}
    assert sum(app.count("POST") for app in lab.apps.values()) == 50


def test_a_cluster_without_healthy_hosts_says_so(spec_of: Any, lab_of: Any) -> None:
    """Acceptance 74, 79: panic is off."""
    lab = lab_of(spec_of(edge={"https": 8443, "http": 8080}, web={"port": 9080, "routes": [{"prefix": "/web"}]}))
    lab.add(Role.EDGE, "edge")
    lab.start()
    with lab.client() as client:
        response = client.get("/web")
    assert response.status_code == 503
    assert response.text == "no healthy upstream"
