"""Requests through a real edge and real sidecars: routing, redirects, TLS, balance, retries. Static config: says nothing of ADS."""

import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from apps.control_plane.model import EndpointState
from model.contract import Role

pytestmark = pytest.mark.envoy

HTTP = {"health": {"path": "/health"}}


@pytest.fixture(scope="module")
def lab(spec_of: Any, lab_of: Any) -> Iterator[Any]:
    spec = spec_of(
        edge={"https": 8443, "http": 8080},
        service_1=HTTP
        | {"port": 9080, "metrics": "/numbers", "routes": [{"prefix": "/service-1"}, {"prefix": "/raw/a.b+c", "strip": False}]},
        service_10=HTTP | {"port": 9080, "routes": [{"prefix": "/service-1/deep", "timeout": "500ms"}]},
        fragile=HTTP | {"port": 9080, "routes": [{"prefix": "/fragile"}]},
        refusing=HTTP | {"port": 9080, "routes": [{"prefix": "/refusing"}]},
        drained=HTTP | {"port": 9080, "routes": [{"prefix": "/drained"}]},
    )
    lab = lab_of(spec)
    lab.add(Role.EDGE, "edge")
    lab.add(Role.SERVICE, "service-1")
    lab.add(Role.SERVICE, "service-1")
    lab.add(Role.SERVICE, "service-10")
    lab.add(Role.SERVICE, "drained")
    lab.add(Role.SERVICE, "drained", state=EndpointState.DRAINING)
    lab.add(Role.SERVICE, "fragile")
    lab.add(Role.SERVICE, "fragile")
    lab.add(Role.SERVICE, "service-1")
    lab.add(Role.SERVICE, "refusing")
    lab.add(Role.SERVICE, "refusing")
    lab.start()
    return lab


@pytest.fixture
def client(lab: Any) -> Iterator[httpx.Client]:
    for app in lab.apps.values():
        app.seen.clear()
        app.breaks, app.status, app.delay = False, 200, 0.0
    with lab.client() as client:
        yield client


@pytest.mark.parametrize(
    ("asked", "seen"),
    [
        ("/service-1", "/"),
        ("/service-1/", "/"),
        ("/service-1?a=1&b=%2F", "/?a=1&b=%2F"),
        ("/service-1/info", "/info"),
        ("/service-1/info?x=/service-1", "/info?x=/service-1"),
        ("/service-1/service-1/x", "/service-1/x"),
        ("/raw/a.b+c/d", "/raw/a.b+c/d"),
        ("//service-1/../service-1//info", "/info"),
    ],
)
def test_the_app_sees_the_path_below_its_prefix(client: httpx.Client, asked: str, seen: str) -> None:
    """Acceptance 1, 20."""
    # Any other way httpx would make the path plain before it sends it.
    response = client.get("/", extensions={"target": asked.encode()})
    assert response.status_code == 200
    assert response.json()["path"] == seen


def test_the_stripped_prefix_is_told_and_cannot_be_forged(client: httpx.Client) -> None:
    forged = {"x-forwarded-prefix": "/evil"}
    assert client.get("/service-1/info", headers=forged).json()["headers"]["x-forwarded-prefix"] == "/service-1"
    assert "x-forwarded-prefix" not in client.get("/raw/a.b+c", headers=forged).json()["headers"]


def test_the_longest_prefix_wins(lab: Any, client: httpx.Client) -> None:
    deep = lab.endpoints[3].address
    assert client.get("/service-1/deep/x").json()["address"] == deep
    assert client.get("/service-1/deeper").json()["address"] != deep


@pytest.mark.parametrize("path", ["/", "/service-10", "/service-1x", "/raw/aXb+c", "/healthcheck"])
def test_a_path_that_no_route_has_is_404(lab: Any, client: httpx.Client, path: str) -> None:
    """Acceptance 4."""
    response = client.get(path)
    assert response.status_code == 404
    assert response.headers["content-length"] == "0"


@pytest.mark.parametrize("path", ["/service-1/numbers", "/service-1/numbers/", "/service-1//x/../numbers", "/service-1/%6eumbers?x"])
def test_metrics_of_an_app_are_not_for_clients_of_the_edge(lab: Any, client: httpx.Client, path: str) -> None:
    """Acceptance 24. Prometheus asks the sidecar."""
    assert client.get(path).status_code == 404
    assert client.get("/service-1/numbers-of-another-kind").status_code == 200
    assert client.get("/raw/a.b+c/numbers").status_code == 200


@pytest.mark.parametrize(
    "name", ["x-forwarded-user", "X-Forwarded-Anything", "x-auth-request-email", "remote-user", "x-original-uri", "x-envoy-any"]
)
def test_who_a_request_is_from_and_where_it_went_is_not_for_clients_to_say(client: httpx.Client, name: str) -> None:
    assert "forged" not in str(client.get("/service-1", headers={name: "forged"}).json()["headers"])


def test_headers_of_the_edge(client: httpx.Client) -> None:
    """Acceptance 2."""
    response = client.get("/service-1/info")
    assert response.headers["server"] == "envoy"
    assert int(response.headers["x-envoy-upstream-service-time"]) >= 0
    seen = response.json()["headers"]
    assert UUID(seen["x-request-id"])
    assert seen["x-forwarded-proto"] == "https"
    assert seen["x-envoy-expected-rq-timeout-ms"] == "15000"


def test_the_edge_makes_the_request_id(client: httpx.Client) -> None:
    forged = "00000000-0000-4000-8000-000000000000"
    assert client.get("/service-1", headers={"x-request-id": forged}).json()["headers"]["x-request-id"] != forged


def test_via_names_the_proxies_passed_and_drops_what_the_client_says(lab: Any, client: httpx.Client) -> None:
    response = client.get("/service-1", headers=[("via", "1.1 forged"), ("Via", "1.1 again")]).json()
    passed = [part.strip() for value in response["via"] for part in value.split(",")]
    instance = next(endpoint.instance for endpoint in lab.endpoints if endpoint.address == response["address"])
    assert passed == ["1.1 edge/edge/i-0", f"1.1 service/service-1/{instance}"]


def test_clients_cannot_steer_retries_or_timeouts(client: httpx.Client) -> None:
    headers = {"x-envoy-upstream-rq-timeout-ms": "1", "x-envoy-max-retries": "9", "x-envoy-retry-on": "5xx"}
    assert client.get("/service-1", headers=headers).json()["headers"]["x-envoy-expected-rq-timeout-ms"] == "15000"


@pytest.mark.parametrize("path", ["/service-1/x?a=1&b=%20", "//odd//../path?q", "/a%2Fb"])
def test_plain_http_is_redirected_to_the_port_of_https(lab: Any, path: str) -> None:
    """Acceptance 18."""
    edge = lab.endpoints[0].address
    with socket.create_connection((edge, 8080)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nhost: edge.example:8080\r\nconnection: close\r\n\r\n".encode())
        answer = connection.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.1 301 ")
    assert f"location: https://edge.example:8443{path}\r\n" in answer


@pytest.mark.parametrize(("offered", "chosen"), [(["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1")])
def test_alpn_offers_both_protocols(lab: Any, offered: list[str], chosen: str) -> None:
    """Acceptance 14."""
    context = ssl.create_default_context(cafile=str(lab.directory / "ca.pem"))
    context.set_alpn_protocols(offered)
    edge = lab.endpoints[0].address
    with socket.create_connection((edge, 8443)) as plain, context.wrap_socket(plain, server_hostname=edge) as secure:
        assert secure.selected_alpn_protocol() == chosen


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_tls_is_refused(lab: Any) -> None:
    context = ssl.create_default_context(cafile=str(lab.directory / "ca.pem"))
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    edge = lab.endpoints[0].address
    with socket.create_connection((edge, 8443)) as plain, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(plain, server_hostname=edge)


def test_http2_reaches_the_app_and_goes_between_the_proxies(lab: Any) -> None:
    before = lab.statistics(lab.endpoints[1].address).get("http.ingress.downstream_cx_http2_total")
    with lab.client(http2=True) as client:
        response = client.get("/service-1")
    assert response.http_version == "HTTP/2"
    assert response.status_code == 200
    after = lab.statistics(lab.endpoints[1].address)
    assert int(after["http.ingress.downstream_cx_http2_total"]) >= max(1, int(before or 0))
    assert after.get("http.ingress.downstream_cx_http1_total", "0") == "0"


@pytest.mark.parametrize("http2", [False, True])
def test_round_robin_is_exact(lab: Any, client: httpx.Client, *, http2: bool) -> None:
    """Acceptance 3: of three replicas each answers every third request."""
    with lab.client(http2=http2) as one:
        order = [one.get("/service-1").json()["address"] for _ in range(90)]
    assert len(set(order[:3])) == 3
    assert order == order[:3] * 30


def test_a_draining_machine_gets_nothing(lab: Any, client: httpx.Client, addresses_of: Any) -> None:
    assert addresses_of([client.get("/drained") for _ in range(10)]) == {lab.endpoints[4].address: 10}


def test_a_header_with_an_underscore_is_refused(client: httpx.Client) -> None:
    """Acceptance 19."""
    assert client.get("/service-1", headers={"foo_bar": "1"}).status_code == 400


def test_an_escaped_slash_is_redirected_and_counted(lab: Any, client: httpx.Client) -> None:
    """Acceptance 20."""
    name, edge = "http.edge-https.downstream_rq_redirected_with_normalized_path", lab.endpoints[0].address
    before = int(lab.statistics(edge).get(name, 0))
    response = client.get("/service-1%2Finfo")
    assert response.status_code == 307
    assert response.headers["location"] == "/service-1/info"
    assert int(lab.statistics(edge)[name]) == before + 1


def test_too_many_headers_are_refused(client: httpx.Client) -> None:
    """Acceptance 22."""
    assert client.get("/service-1", headers={"x-large": "a" * 70_000}).status_code == 431


def test_a_slow_app_meets_the_timeout_of_its_route(lab: Any, client: httpx.Client) -> None:
    """Acceptance 75. A GET is not sent again: the time is up."""
    app = lab.apps[lab.endpoints[3].address]
    app.delay = 1.5
    response = client.get("/service-1/deep")
    assert response.status_code == 504
    assert response.text == "upstream request timeout"
    assert 0.45 <= response.elapsed.total_seconds() <= 0.9


def test_a_get_is_sent_again_elsewhere_when_its_app_breaks_off(lab: Any, client: httpx.Client) -> None:
    """Acceptance 81."""
    broken = lab.apps[lab.endpoints[1].address]
    broken.breaks = True
    assert Counter(client.get("/service-1").status_code for _ in range(6)) == {200: 6}
    assert broken.count("GET") >= 1


def test_a_post_is_never_sent_again_once_it_may_have_reached_an_app(lab: Any, client: httpx.Client) -> None:
    """Acceptance 81."""
    good, broken = (lab.apps[lab.endpoints[index].address] for index in (6, 7))
    broken.breaks = True
    answers = Counter(client.post("/fragile", json={"n": n}).status_code for n in range(20))
    assert good.count("POST") + broken.count("POST") == 20
    assert answers == {200: good.count("POST"), 503: broken.count("POST")}
    assert broken.count("POST") >= 1


def test_a_lone_replica_is_not_ejected_for_its_errors(lab: Any, client: httpx.Client) -> None:
    app = lab.apps[lab.endpoints[3].address]
    app.status = 500
    assert Counter(client.get("/service-1/deep").status_code for _ in range(8)) == {500: 8}
    app.status = 200
    assert client.get("/service-1/deep").status_code == 200


def test_one_request_takes_no_machine_out_of_a_group(lab: Any, client: httpx.Client) -> None:
    """Its app answers 502 on both machines: four attempts, two at each."""
    apps = [lab.apps[lab.endpoints[index].address] for index in (9, 10)]
    for _ in range(5):
        for app in apps:
            app.status = 502
            app.seen.clear()
        assert client.get("/refusing").status_code == 502
        assert [app.count("GET") for app in apps] == [2, 2]
        for app in apps:
            app.status = 200
        assert Counter(client.get("/refusing").status_code for _ in range(4)) == {200: 4}
    assert lab.statistics(lab.endpoints[0].address)["cluster.refusing.outlier_detection.ejections_enforced_total"] == "0"


def test_the_log_has_no_query_cookie_or_authorization(lab: Any, client: httpx.Client) -> None:
    """Acceptance 4, 167."""
    client.get(
        "/service-1/logged?access_token=query-secret", headers={"authorization": "Bearer header-secret", "cookie": "c=cookie-secret"}
    )
    missing = lab.logged(client.get("/nowhere").headers["x-request-id"])
    assert (missing["flags"], missing["details"]) == ("NR", "route_not_found")
    text = lab.log(lab.endpoints[0].address).read_text()
    assert "/service-1/logged" in text
    assert "secret" not in text
