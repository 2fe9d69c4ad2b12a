"""What both edges of the local stack let in, and how: TLS, redirects, the hygiene of requests, and the edge checklist as they run it."""

import json
import socket
import ssl
from typing import Any

import httpx
import pytest

from model.contract import ADMIN_PORT, METRICS_PORT
from tests.e2e.driver import Stack, eventually
from tests.e2e.sight import addresses, growth

pytestmark = pytest.mark.e2e

MANAGER = "envoy.filters.network.http_connection_manager"


def connect(stack: Stack, url: str, *protocols: str) -> ssl.SSLSocket:
    """A TLS connection that offers these protocols; the certificate and its names are verified."""
    context = ssl.create_default_context(cafile=str(stack.ca))
    context.set_alpn_protocols(list(protocols))
    at = httpx.URL(url)
    return context.wrap_socket(socket.create_connection((at.host, at.port or 443), timeout=10), server_hostname=at.host)


def as_written(path: str) -> dict[str, bytes]:
    """For `extensions` of a request: httpx would make a path plain before it sends it."""
    return {"target": path.encode()}


def test_every_edge_speaks_both_protocols_on_its_port_and_counts_what_came(stack: Stack, urls: list[str], edges: list[str]) -> None:
    """Acceptance 14, 16; clients that name an address send no SNI."""
    names = [f"tls_inspector.{name}" for name in ("alpn_found", "tls_found", "tls_not_found")]
    for url in urls:
        with growth(edges, *names) as found:
            for offered, taken in ((("h2", "http/1.1"), "h2"), (("http/1.1",), "http/1.1")):
                with connect(stack, url, *offered) as connection:
                    assert connection.selected_alpn_protocol() == taken
            with socket.create_connection((httpx.URL(url).host, httpx.URL(url).port or 443), timeout=10) as plain:
                plain.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                assert b"HTTP" not in plain.recv(1024)
        assert list(found.values()) == [2, 2, 1]


@pytest.mark.parametrize("path", ["/service-1/info?a=1&b=%20", "//odd//../path?q", "/a%2Fb"])
def test_plain_http_is_redirected_byte_for_byte_and_services_hear_of_tls_alone(stack: Stack, urls: list[str], path: str) -> None:
    """Acceptance 13, 18."""
    for url in urls:
        host = httpx.URL(url).host
        with httpx.Client(trust_env=False) as client:
            answer = client.get(f"http://{host}:8080", extensions=as_written(path))
        assert (answer.status_code, answer.headers["location"]) == (301, f"{url}{path}")
        with stack.client(url) as client:
            assert client.get("/service-1/headers").json()["headers"]["x-forwarded-proto"] == "https"


def test_a_header_with_an_underscore_is_refused_and_counted(stack: Stack, urls: list[str], edges: list[str]) -> None:
    """Acceptance 19."""
    with growth(edges, "http1.requests_rejected_with_underscores_in_headers") as found, connect(stack, urls[0], "http/1.1") as edge:
        edge.sendall(b"GET /service-1/info HTTP/1.1\r\nhost: edge\r\nfoo_bar: 1\r\n\r\n")
        answer = edge.recv(4096)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"connection: close\r\n" in answer
    assert answer.endswith(b"\r\n\r\nBad Request")
    assert list(found.values()) == [1]


def test_paths_are_made_plain_before_they_are_routed(stack: Stack, urls: list[str], edges: list[str]) -> None:
    """Acceptance 20."""
    with stack.client(urls[0]) as client:
        with growth(edges, "http.edge-https.downstream_rq_redirected_with_normalized_path") as found:
            answer = client.get("/", extensions=as_written("/service-1%2Finfo"))
        assert (answer.status_code, answer.headers["location"]) == (307, "/service-1/info")
        assert list(found.values()) == [1]
        answer = client.get("/", extensions=as_written("//service-1/../service-1//info?q"))
        assert answer.json()["url"] == f"{urls[0]}/service-1/info?q"


def test_what_is_too_large_or_a_tunnel_is_refused(stack: Stack, urls: list[str]) -> None:
    """Acceptance 22."""
    with stack.client(urls[0], http2=False) as client:
        answer = client.get("/service-1/info", headers={"x-large": "a" * 70_000})
        assert (answer.status_code, answer.text) == (431, "Request Header Fields Too Large")
    target = f"{addresses(stack, 'service-1')[0]}:8000"
    with connect(stack, urls[0], "http/1.1") as edge:
        edge.sendall(f"CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n".encode())
        assert edge.recv(1024).split()[1].startswith(b"4")


def test_no_envoys_admin_port_is_open_to_others_or_changes_anything_by_get(stack: Stack) -> None:
    """Acceptance 24. All machines share this host's loopback, so what is seen is that the port is bound to the machine's own address."""
    for machine in stack.machines():
        if machine["role"] not in ("edge", "outer-edge", "service", "database"):
            continue
        address = machine["address"]
        dump = httpx.get(f"http://{address}:{ADMIN_PORT}/config_dump?mask=bootstrap.admin,bootstrap.node.metadata", trust_env=False).json()
        bootstrap = dump["configs"][0]["bootstrap"]
        assert bootstrap["admin"]["address"]["socket_address"]["address"] == bootstrap["node"]["metadata"]["mesh"]["loopback"]
        for path in ("/quitquitquit", "/healthcheck/fail"):
            assert httpx.get(f"http://{address}:{ADMIN_PORT}{path}", trust_env=False).status_code == 405
            assert httpx.post(f"http://{address}:{METRICS_PORT}{path}", trust_env=False).status_code == 404


def test_an_edge_that_is_taken_out_of_use_says_so_and_still_answers(stack: Stack, urls: list[str], edges: list[str]) -> None:
    """Acceptance 85."""
    for address in edges:
        assert httpx.get(f"http://{address}:{METRICS_PORT}/healthcheck", trust_env=False).status_code == 200
        httpx.post(f"http://{address}:{ADMIN_PORT}/healthcheck/fail", trust_env=False)
        try:
            answer = httpx.get(f"http://{address}:{METRICS_PORT}/healthcheck", trust_env=False)
            assert (answer.status_code, answer.headers["x-envoy-immediate-health-check-fail"]) == (503, "true")
            assert answer.headers["connection"] == "close"
            ready = httpx.get(f"http://{address}:{METRICS_PORT}/ready", trust_env=False)
            assert (ready.status_code, ready.text.strip()) == (503, "DRAINING")
            for url in urls:
                with stack.client(url, http2=False) as client:
                    assert client.get("/service-1/info").status_code == 200
        finally:
            httpx.post(f"http://{address}:{ADMIN_PORT}/healthcheck/ok", trust_env=False)
        assert httpx.get(f"http://{address}:{METRICS_PORT}/healthcheck", trust_env=False).status_code == 200
    eventually("both edges are healthy", lambda: len(stack.healthy("edge")) == 2, seconds=15)


def test_every_edge_runs_the_checklist(stack: Stack) -> None:
    """Acceptance R1–R7, R9, R13, read from what `./mesh config` prints of each."""
    edges = [one["id"] for one in stack.machines() if one["role"] == "edge"]
    assert len(edges) == 2
    for edge in edges:
        bootstrap, clusters, listeners = parts_of(json.loads(stack.mesh("config", edge).stdout))
        assert bootstrap["admin"]["address"]["socket_address"]["address"] == bootstrap["node"]["metadata"]["mesh"]["loopback"]
        overload = bootstrap["overload_manager"]
        assert overload["refresh_interval"] == "0.250s"
        assert overload["resource_monitors"][0]["typed_config"]["max_heap_size_bytes"] == str(1 << 30)
        thresholds = {action["name"].rpartition(".")[2]: action["triggers"][0].get("threshold") for action in overload["actions"]}
        assert (thresholds["shrink_heap"], thresholds["stop_accepting_requests"]) == ({"value": 0.95}, {"value": 0.98})
        every = [*clusters.values(), *listeners.values()]
        assert {"service-1", "edge-https", "edge-http", "identity", "mesh.local"} <= {*clusters, *listeners}
        assert {one["name"]: one.get("per_connection_buffer_limit_bytes") for one in every} == {one["name"]: 32768 for one in every}
        assert [item["name"] for item in listeners["edge-https"]["listener_filters"]] == ["envoy.filters.listener.tls_inspector"]
        assert "listener_filters" not in listeners["edge-http"]
        for name in ("edge-https", "edge-http"):
            (manager,) = [one["typed_config"] for one in listeners[name]["filter_chains"][0]["filters"] if one["name"] == MANAGER]
            hold_to_checklist(manager, routed=name == "edge-https")
        upstream = next(iter(clusters["service-1"]["typed_extension_protocol_options"].values()))["explicit_http_config"]
        assert windows_of(upstream["http2_protocol_options"]) == (65536, 1048576)


def hold_to_checklist(manager: dict[str, Any], *, routed: bool) -> None:
    """Paths are made plain where they are routed; the redirect passes them on as they came."""
    assert manager["use_remote_address"] is True
    if routed:
        assert (manager["normalize_path"], manager["merge_slashes"]) == (True, True)
        assert manager["path_with_escaped_slashes_action"] == "UNESCAPE_AND_REDIRECT"
    common = manager["common_http_protocol_options"]
    assert common["headers_with_underscores_action"] == "REJECT_REQUEST"
    assert (common["idle_timeout"], manager["stream_idle_timeout"], manager["request_timeout"]) == ("3600s", "300s", "300s")
    assert manager["http2_protocol_options"]["max_concurrent_streams"] == 100
    assert windows_of(manager["http2_protocol_options"]) == (65536, 1048576)


def windows_of(http2: dict[str, Any]) -> tuple[int, int]:
    return http2["initial_stream_window_size"], http2["initial_connection_window_size"]


def parts_of(dump: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The bootstrap, and by name all clusters and all listeners, static and dynamic."""
    found = {part["@type"].rpartition(".")[2]: part for part in dump["configs"]}
    clusters = [one["cluster"] for kind in ("static_clusters", "dynamic_active_clusters") for one in found["ClustersConfigDump"][kind]]
    listeners = [one["listener"] for one in found["ListenersConfigDump"]["static_listeners"]]
    listeners += [one["active_state"]["listener"] for one in found["ListenersConfigDump"]["dynamic_listeners"]]
    named = [{one["name"]: one for one in some} for some in (clusters, listeners)]
    return found["BootstrapConfigDump"]["bootstrap"], named[0], named[1]
