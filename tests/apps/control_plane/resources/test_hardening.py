"""Attacks on a real edge that faces the internet: malformed, oversized, slow and too many requests; and the edge checklist."""

import concurrent.futures
import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from envoy_configs import overload
from model.contract import Role
from tests.attacks import floods
from tests.attacks.floods import Flood

pytestmark = pytest.mark.envoy

HTTP = {"health": {"path": "/health"}, "port": 9080}
MANAGER = "envoy.filters.network.http_connection_manager"


@pytest.fixture(scope="module")
def lab(spec_of: Any, lab_of: Any) -> Any:
    lab = lab_of(spec_of(edge={"https": 8443, "http": 8080}, web=HTTP | {"routes": [{"prefix": "/web"}]}))
    lab.add(Role.EDGE, "edge")
    lab.add(Role.SERVICE, "web")
    lab.start()
    return lab


@pytest.fixture
def app(lab: Any) -> Any:
    app = lab.apps[lab.endpoints[1].address]
    app.seen.clear()
    return app


@pytest.fixture
def connect(lab: Any) -> Iterator[Callable[..., ssl.SSLSocket]]:
    """Opens TLS connections to the edge that speak what ALPN `protocol` says."""
    opened: list[ssl.SSLSocket] = []

    def make(protocol: str = "http/1.1", receive_buffer: int = 0) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=str(lab.directory / "ca.pem"))
        context.set_alpn_protocols([protocol])
        plain = socket.socket()
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plain.settimeout(20)
        plain.connect((lab.endpoints[0].address, 8443))
        opened.append(context.wrap_socket(plain, server_hostname=lab.endpoints[0].address))
        return opened[-1]

    yield make
    for connection in opened:
        connection.close()


def counter(lab: Any, name: str) -> int:
    return int(lab.statistics(lab.endpoints[0].address).get(name, "0"))


def answer_to(connection: ssl.SSLSocket, request: bytes) -> bytes:
    """All that comes until the edge closes the connection, which is the point; 20 s are too long."""
    received = b""
    with contextlib.suppress(ConnectionError, ssl.SSLEOFError, BrokenPipeError):
        connection.sendall(request)
        while data := connection.recv(65536):
            received += data
    return received


def still_serves(lab: Any) -> bool:
    with lab.client() as client:
        return bool(client.get("/web").status_code == 200)


HEAD = b"POST /web HTTP/1.1\r\nhost: edge\r\n"


@pytest.mark.parametrize(
    "request_text",
    [
        HEAD + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: edge\r\n\r\n",
        HEAD + b"content-length: 4\r\ncontent-length: 5\r\n\r\nabcd",
        HEAD + b"content-length: +4\r\n\r\nabcd",
        HEAD + b"content-length: 4, 4\r\n\r\nabcd",
        HEAD + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        HEAD + b"content-length: -1\r\n\r\n",
        HEAD + b"connection: close\r\ncontent-length: 18446744073709551615\r\n\r\nx",
        b"GET /web HTTP/1.1\r\nhost: edge\r\nx\x00y: 1\r\n\r\n",
        b"GET /web HTTP/1.1\r\nhost: edge\r\nx-a: 1\x0b\r\n\r\n",
        b"GET /we\tb HTTP/1.1\r\nhost: edge\r\n\r\n",
        b"GET /web HTTP/1.1\r\nconnection: close\r\nhost: edge\r\nhost: other\r\n\r\n",
        b"GET /web HTTP/1.1\r\nconnection: close\r\nhost: edge/x\r\n\r\n",
        b"GET /web HTTP/1.1\r\nconnection: close\r\nhost: a@edge\r\n\r\n",
        b"GET /web HTTP/1.1\r\n\r\n",
        b"GET /web HTTP/9.9\r\nhost: edge\r\n\r\n",
        b"CONNECT edge:443 HTTP/1.1\r\nhost: edge:443\r\n\r\n",
        b"\x16\x03\x01 nonsense\r\n\r\n",
    ],
)
def test_a_malformed_request_is_refused_and_its_connection_closed(lab: Any, app: Any, connect: Any, request_text: bytes) -> None:
    """Acceptance 22. Nothing of it reaches an app, so no second request hides in it."""
    answer = answer_to(
        connect(), request_text + (b"" if b"CONNECT" not in request_text else b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n")
    )
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 501")), answer[:200]
    assert answer.count(b"HTTP/1.1 ") == 1
    assert app.seen == []
    assert b"1.40" not in answer


def test_a_length_that_no_sidecar_can_read_does_not_break_its_connection(lab: Any, app: Any, connect: Any) -> None:
    """Nor has it the sidecar taken for sick, and a request that is no HTTP at a sidecar costs its own stream alone."""
    assert still_serves(lab)
    broken = counter(lab, "cluster.web.upstream_cx_destroy")
    for length in (1 << 63, (1 << 64) - 1, 10**15):
        answer = answer_to(connect(), HEAD + f"connection: close\r\ncontent-length: {length}\r\n\r\nx".encode())
        assert answer.startswith(b"HTTP/1.1 400"), answer
    assert still_serves(lab)
    assert counter(lab, "cluster.web.upstream_cx_destroy") == broken
    sections = httpx.get(f"http://{lab.endpoints[1].address}:9901/config_dump").json()["configs"]
    listeners = [item["listener"] for section in sections for item in section.get("static_listeners", [])]
    (ingress,) = [listener for listener in listeners if listener["name"] == "ingress"]
    options = ingress["filter_chains"][0]["filters"][0]["typed_config"]["http2_protocol_options"]
    assert options["override_stream_error_on_invalid_http_message"] is True


def test_what_is_refused_before_it_has_an_id_is_told_so_and_nothing_of_the_request(lab: Any) -> None:
    """Envoy has no word for it, and has not dropped the id that the client claims."""
    forged = {"x-request-id": "<script>"}
    with lab.client() as client:
        for headers in ({}, forged):
            refused = client.get("/x%00", headers=headers | {"accept": "application/json"})
            assert (refused.status_code, refused.json()["error"]) == (400, "Bad Request")
            page = client.get("/x%00", headers=headers | {"accept": "text/html"})
            assert (page.status_code, page.headers["content-type"]) == (400, "text/html; charset=UTF-8")
            assert "<script>" not in page.text
            assert "<small>400</small>" in page.text
        assert "x-request-id" not in client.get("/web%2Fx").headers


def test_a_host_may_have_a_port_of_five_digits(lab: Any) -> None:
    with lab.client() as client:
        for host, status in (("edge:65535", 200), ("[::1]:65535", 200), ("edge:99999999", 400), ("[::1]:655350", 400), ("edge:", 400)):
            assert client.get("/web", headers={"host": host}).status_code == status, host


def test_over_http2_a_header_with_an_underscore_ends_its_stream_without_a_status(lab: Any) -> None:
    """The connection goes on."""
    with lab.client(http2=True) as client:
        with pytest.raises(httpx.RemoteProtocolError, match="StreamReset"):
            client.get("/web", headers={"a_b": "1"})
        assert client.get("/web").http_version == "HTTP/2"


def test_a_redirect_to_https_names_no_host_but_a_plain_one(lab: Any) -> None:
    edge = lab.endpoints[0].address
    assert httpx.get(f"http://{edge}:8080/x", headers={"host": "a@evil.example"}).status_code == 400
    assert httpx.get(f"http://{edge}:8080/x", headers={"host": "shop.example"}).headers["location"] == "https://shop.example:8443/x"


def test_too_many_headers_are_refused(lab: Any, app: Any) -> None:
    """Acceptance 22."""
    with lab.client() as client:
        assert client.get("/web", headers={f"x-{n}": "1" for n in range(101)}).status_code == 431
        assert client.get("/web", headers={"x": "1" * 70_000}).text == "Request Header Fields Too Large"
        assert client.get(f"/web?{'x' * 62_000}").status_code == 431
    assert app.seen == []


def test_an_underscore_is_refused_in_both_protocols_and_counted(lab: Any, app: Any) -> None:
    """Acceptance 19."""
    names = [f"{protocol}.requests_rejected_with_underscores_in_headers" for protocol in ("http1", "http2")]
    before = [counter(lab, name) for name in names]
    with lab.client() as client:
        answer = client.get("/web", headers={"foo_bar": "1"})
        assert (answer.status_code, answer.text, answer.headers["connection"]) == (400, "Bad Request", "close")
    with lab.client(http2=True) as client, contextlib.suppress(httpx.RemoteProtocolError):
        client.get("/web", headers={"foo_bar": "1"})
    assert [counter(lab, name) for name in names] == [before[0] + 1, before[1] + 1]
    assert app.seen == []


@pytest.mark.parametrize(
    "path", ["/web/..;/admin", "/web/%2e%2e/x", "/web/%252e%252e/x", "/WEB", "/web%00", "/web/%5c..%5cx", "/./web/.", "/web//x"]
)
def test_no_spelling_of_a_path_reaches_an_app_outside_its_prefix(lab: Any, app: Any, path: str) -> None:
    with lab.client() as client:
        # Any other way httpx would make the path plain before it sends it.
        status = client.get("/", extensions={"target": path.encode()}).status_code
    assert all(seen.startswith("/") and ".." not in seen.split("/") for _, seen in app.seen)
    assert status in (200, 307, 400, 404)


def test_clients_that_send_slowly_are_cut_off(lab: Any, connect: Any) -> None:
    """A head must be there in 10 s, however many bytes come meanwhile; others are served all the time."""

    def dribble(first: bytes) -> float:
        connection, began = connect(), time.monotonic()
        with contextlib.suppress(OSError):
            connection.sendall(first)
            connection.settimeout(0.5)
            while time.monotonic() - began < 20:
                connection.sendall(b"x-a: b\r\n")
                with contextlib.suppress(TimeoutError):
                    if not connection.recv(1000).startswith(b"HTTP/1.1 4"):
                        break
        return time.monotonic() - began

    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        waiting = [pool.submit(dribble, b"GET /web HTTP/1.1\r\nhost: edge\r\n") for _ in range(30)]
        assert still_serves(lab)
        lasted = [one.result() for one in waiting]
    assert max(lasted) < 12.5, lasted


@pytest.mark.slow
@pytest.mark.parametrize("size", [4_000_000, 400_000])
def test_clients_that_read_slowly_are_cut_off(lab: Any, app: Any, connect: Any, size: int) -> None:
    """slowhttptest -X: five bytes a second. What the kernel cannot hold meets the route's timeout, what it can, the kernel's."""
    connection, began = connect(receive_buffer=1024), time.monotonic()
    connection.settimeout(5)
    with contextlib.suppress(TimeoutError, OSError):
        connection.sendall(HEAD + f"content-length: {size}\r\n\r\n".encode() + b"x" * size)
    while counter(lab, "listener.edge-https.downstream_cx_active") and time.monotonic() - began < 60:
        with contextlib.suppress(OSError):
            connection.recv(5)
        time.sleep(1)
    assert 10 < time.monotonic() - began < 50
    assert still_serves(lab)


@pytest.mark.parametrize("attack", floods.ALL)
def test_a_flood_of_frames_ends_its_connection_and_no_other(lab: Any, connect: Any, attack: Any) -> None:
    with lab.client(http2=True) as other:
        assert other.get("/web").status_code == 200
        flood = Flood(connect("h2"))
        taken = flood.send_unread(attack(flood), 20_000) if attack in floods.UNREAD else flood.send(attack(flood), 3000)
        assert taken is not None, "the edge took it all"
        assert other.get("/web").status_code == 200


def test_connections_are_limited_and_admin_and_metrics_still_answer(spec_of: Any, lab_of: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overload, "CONNECTIONS", 20)
        lab = lab_of(spec_of(edge={"https": 8443, "http": 8080}, web=HTTP))
        lab.add(Role.EDGE, "edge")
        lab.start()
    edge = lab.endpoints[0].address
    with contextlib.ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(socket.create_connection((edge, 8080)))
        time.sleep(0.5)
        assert counter(lab, "listener.edge-http.downstream_cx_active") == 20
        assert counter(lab, "listener.edge-http.downstream_global_cx_overflow") == 10
        assert httpx.get(f"http://{edge}:9902/ready").status_code == 200
    time.sleep(0.5)
    with lab.client() as client:
        assert client.get("/").status_code == 404


def test_streams_of_a_connection_are_limited(lab: Any, connect: Any) -> None:
    """Acceptance R9."""
    with lab.client(http2=True) as client:
        client.get("/web")
        (settings_seen,) = [
            value for name, value in client._transport._pool._connections[0]._connection._h2_state.remote_settings.items() if name == 3
        ]  # type: ignore[attr-defined]
    assert settings_seen == 100


def test_admin_is_out_of_reach_and_changes_nothing_by_get(lab: Any) -> None:
    """Acceptance 24."""
    edge = lab.endpoints[0].address
    for path in ("/quitquitquit", "/healthcheck/fail"):
        assert httpx.get(f"http://{edge}:9901{path}").status_code == 405
        assert httpx.post(f"http://{edge}:9902{path}").status_code == 404
        assert httpx.get(f"http://{edge}:8080{path}").status_code == 301
    assert httpx.get(f"http://{edge}:9902/config_dump").status_code == 404


def test_an_edge_can_be_taken_out_of_use_while_it_still_answers(lab: Any) -> None:
    """Acceptance 85."""
    edge = lab.endpoints[0].address
    assert httpx.get(f"http://{edge}:9902/healthcheck").status_code == 200
    httpx.post(f"http://{edge}:9901/healthcheck/fail")
    try:
        answer = httpx.get(f"http://{edge}:9902/healthcheck")
        assert (answer.status_code, answer.headers["x-envoy-immediate-health-check-fail"]) == (503, "true")
        assert answer.headers["connection"] == "close"
        ready = httpx.get(f"http://{edge}:9902/ready")
        assert (ready.status_code, ready.text.strip()) == (503, "DRAINING")
        assert still_serves(lab)
    finally:
        httpx.post(f"http://{edge}:9901/healthcheck/ok")
    assert httpx.get(f"http://{edge}:9902/healthcheck").status_code == 200


def test_the_edge_checklist_holds_in_the_config_that_envoy_runs(lab: Any) -> None:
    """Acceptance R1–R7, R9, R13."""
    edge = lab.endpoints[0].address
    bootstrap, clusters, listeners, *_ = httpx.get(f"http://{edge}:9901/config_dump").json()["configs"]
    config = bootstrap["bootstrap"]
    assert config["admin"]["address"]["socket_address"]["address"] == edge
    overload = config["overload_manager"]
    assert overload["refresh_interval"] == "0.250s"
    assert overload["resource_monitors"][0]["typed_config"]["max_heap_size_bytes"] == str(1 << 30)
    thresholds = {action["name"].rpartition(".")[2]: action["triggers"][0].get("threshold") for action in overload["actions"]}
    assert thresholds["shrink_heap"] == {"value": 0.95}
    assert thresholds["stop_accepting_requests"] == {"value": 0.98}
    every = [item["cluster"] for item in clusters["static_clusters"]] + [item["listener"] for item in listeners["static_listeners"]]
    assert {item["name"]: item.get("per_connection_buffer_limit_bytes") for item in every} == {item["name"]: 32768 for item in every}
    (listener,) = [item["listener"] for item in listeners["static_listeners"] if item["listener"]["name"] == "edge-https"]
    assert [item["name"] for item in listener["listener_filters"]] == ["envoy.filters.listener.tls_inspector"]
    (manager,) = [item["typed_config"] for item in listener["filter_chains"][0]["filters"] if item["name"] == MANAGER]
    assert [manager[name] for name in ("use_remote_address", "normalize_path", "merge_slashes")] == [True] * 3
    assert manager["path_with_escaped_slashes_action"] == "UNESCAPE_AND_REDIRECT"
    common = manager["common_http_protocol_options"]
    assert common["headers_with_underscores_action"] == "REJECT_REQUEST"
    times = [common["idle_timeout"], manager["stream_idle_timeout"], manager["request_timeout"], manager["request_headers_timeout"]]
    assert times == ["3600s", "300s", "300s", "10s"]
    http2 = manager["http2_protocol_options"]
    windows = [http2[name] for name in ("max_concurrent_streams", "initial_stream_window_size", "initial_connection_window_size")]
    assert windows == [100, 65536, 1048576]
    (web,) = [item["cluster"] for item in clusters["static_clusters"] if item["cluster"]["name"] == "web"]
    upstream = next(iter(web["typed_extension_protocol_options"].values()))["explicit_http_config"]["http2_protocol_options"]
    assert (upstream["initial_stream_window_size"], upstream["initial_connection_window_size"]) == (65536, 1048576)
