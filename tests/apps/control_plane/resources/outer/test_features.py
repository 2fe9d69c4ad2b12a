"""Features of the edge through an outer one: each is judged once, by the origin; protocols pass as they are."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from model.contract import Role
from model.proto_files import compile_proto
from tests.apps.control_plane.resources.test_bridge import BRIDGE, ORIGIN, SERVICE, Shelf, framed, frames, message_types
from tests.apps.control_plane.resources.test_jwt import KEY, KeyServer, bearer, edge_of, token

pytestmark = pytest.mark.envoy

HTTP = {"port": 9080, "health": {"path": "/health"}}
ROUTES = [
    {"prefix": "/guarded", "auth": "jwt", "rateLimits": [{"requests": 2, "per": "1m", "by": "claim:sub"}]},
    {"prefix": "/slow", "timeout": "500ms"},
    {"prefix": "/form", "csrf": {}, "cors": {"origins": [ORIGIN]}},
]


@pytest.fixture(scope="module")
def key_server() -> Iterator[KeyServer]:
    server = KeyServer("127.0.0.1")
    server.keys = [KEY]
    yield server
    server.stop()


@pytest.fixture(scope="module")
def descriptors() -> bytes:
    return compile_proto(Path(__file__).parents[1], "shelf.proto")


@pytest.fixture(scope="module")
def double(double_of: Any, key_server: KeyServer, descriptors: bytes) -> Any:
    grpc_1 = {"protocol": "grpc", "port": 50051, "bridge": BRIDGE}
    double = double_of(edge=edge_of(key_server.url), web=HTTP | {"routes": ROUTES}, grpc_1=grpc_1)
    lab = double.lab
    lab.known["descriptors"] = {"grpc-1": descriptors}
    double.add_edges(origin=1)
    lab.add(Role.SERVICE, "web")
    address = lab.add(Role.SERVICE, "grpc-1")
    lab.apps[address].close()
    lab.apps[address] = Shelf(address, 50051, descriptors)
    lab.start()
    return double


@pytest.fixture(params=["1.1", "2"])
def client(double: Any, request: Any) -> Iterator[httpx.Client]:
    with double.client(transport=double.transport(http1=request.param == "1.1", http2=request.param == "2")) as client:
        yield client


def test_tokens_are_verified_by_the_origin_alone(double: Any, client: httpx.Client) -> None:
    denied, allowed = "http.edge-origin.jwt_authn.denied", "http.edge-origin.jwt_authn.allowed"
    before = [double.count(name, double.edges[0]) for name in (denied, allowed)]
    refused = client.get("/guarded", headers={"x-user": "forged"})
    assert (refused.status_code, refused.text) == (401, "Jwt is missing")
    assert refused.headers["www-authenticate"] == f'Bearer realm="{refused.url}"'
    answer = client.get("/guarded", headers=bearer(token(sub=str(time.monotonic()))) | {"x-user": "forged"})
    assert answer.status_code == 200
    assert answer.json()["headers"]["x-user"] != "forged"
    assert [double.count(name, double.edges[0]) for name in (denied, allowed)] == [before[0] + 1, before[1] + 1]
    assert not [name for name in double.lab.statistics(double.outers[0]) if "jwt" in name]


def test_a_request_costs_one_token_of_its_limit(client: httpx.Client) -> None:
    headers = bearer(token(sub=str(time.monotonic())))
    answers = [client.get("/guarded", headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers[:2]] == ["1", "0"]


def test_a_routes_time_limit_is_the_origins(double: Any, client: httpx.Client) -> None:
    (app,) = [app for app in double.lab.apps.values() if hasattr(app, "delay")]
    app.delay = 2.0
    try:
        started = time.monotonic()
        assert client.get("/slow").status_code == 504
        assert 0.5 <= time.monotonic() - started < 1.9
    finally:
        app.delay = 0.0
    assert double.count("cluster.origin.upstream_rq_timeout") == 0


def test_scripts_of_allowed_origins_read_answers_and_refusals_and_preflights_end_at_the_outer_edge(
    double: Any, client: httpx.Client
) -> None:
    forwarded = double.count("http.edge-origin.downstream_rq_total", double.edges[0])
    asked = {"origin": ORIGIN, "access-control-request-method": "POST"}
    assert client.options("/form", headers=asked).headers["access-control-allow-origin"] == ORIGIN
    refused = client.post("/form", headers={"origin": ORIGIN})
    assert (refused.status_code, refused.headers.get_list("access-control-allow-origin")) == (403, [ORIGIN])
    answer = client.get("/form", headers={"origin": ORIGIN})
    assert (answer.status_code, answer.headers.get_list("access-control-allow-origin")) == (200, [ORIGIN])
    assert set(client.get("/form").headers.get_list("vary", split_commas=True)) == {"Origin"}
    checks = ("http.edge-origin.csrf.missing_source_origin", "http.edge-origin.csrf.request_invalid")
    assert sum(double.count(name, double.edges[0]) for name in checks) >= 1
    assert double.count("http.edge-origin.downstream_rq_total", double.edges[0]) >= forwarded + 2


def test_native_grpc_passes_with_its_trailers(double: Any, descriptors: bytes) -> None:
    types, ca = message_types(descriptors), (double.lab.directory / "ca.pem").read_bytes()
    with grpc.secure_channel(f"{double.outers[0]}:8443", grpc.ssl_channel_credentials(ca)) as channel:

        def method(kind: Any, name: str) -> Any:
            return kind(
                f"/{SERVICE}/{name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=types["Book"].FromString,
            )

        get = method(channel.unary_unary, "Get")
        assert get(types["GetRequest"](name="bob"), timeout=5).name == "bob"
        with pytest.raises(grpc.RpcError) as caught:
            get(types["GetRequest"](name="nobody"), timeout=5)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND  # type: ignore[attr-defined]
        assert [book.count for book in method(channel.unary_stream, "List")(types["ListRequest"](count=3), timeout=5)] == [1, 2, 3]
        with pytest.raises(grpc.RpcError) as late:
            method(channel.unary_unary, "Slow")(types["GetRequest"](count=1500), timeout=0.3)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # type: ignore[attr-defined]


def test_json_and_grpc_web_are_translated_by_the_origin(client: httpx.Client, descriptors: bytes) -> None:
    types = message_types(descriptors)
    assert client.get("/shelf/v1/info/bob?count=3").json()["count"] == 3
    assert client.get("/shelf/v1/info/nobody").json() == {"code": 5, "message": "nobody is refused"}
    assert [book["count"] for book in client.get("/shelf/v1/books?count=3").json()] == [1, 2, 3]
    headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", "origin": ORIGIN}
    response = client.post(f"/shelf/{SERVICE}/Get", content=framed(types["GetRequest"](name="bob")), headers=headers)
    assert response.headers.get_list("access-control-allow-origin") == [ORIGIN]
    (flag, data), (trailer_flag, trailers) = frames(response.content)
    assert (flag, types["Book"].FromString(data).name, trailer_flag) == (0, "bob", 0x80)
    assert b"grpc-status:0\r\n" in trailers


def test_grpc_over_http1_is_bridged_where_the_clients_connection_ends(double: Any, descriptors: bytes) -> None:
    """Acceptance 94: the origin sees HTTP/2, whose trailers the outer edge makes headers of."""
    types = message_types(descriptors)
    with double.client() as client:
        for name, status in (("Ping", "0"), ("Nothing", "12")):
            response = client.post(
                f"/{SERVICE}/{name}", content=framed(types["Book"](name="foo")), headers={"content-type": "application/grpc"}
            )
            assert (response.http_version, response.status_code, response.headers["grpc-status"]) == ("HTTP/1.1", 200, status)


def test_bodies_stream_through_both_edges_as_they_are_sent(double: Any) -> None:
    started = time.monotonic()
    with double.client() as client, client.stream("GET", "/shelf/v1/books?count=3&interval_ms=300") as response:
        arrivals = [time.monotonic() - started for _ in response.iter_bytes()]
    assert arrivals[-1] - arrivals[0] > 0.4
    big = b"x" * 3_000_000
    with double.client() as client:
        assert client.post("/slow", content=big).json()["body"] == big.decode()
