"""A gRPC service behind a real edge and real sidecars, for clients of every kind. Static config: says nothing of ADS."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from model.contract import Role
from model.proto_files import compile_proto
from tests.apps.control_plane.resources.shelf import SERVICE, Shelf, message_types
from tests.grpc_frames import framed, frames

envoy = pytest.mark.envoy

ORIGIN = "https://app.example.com"
BRIDGE = {"prefix": "/shelf", "proto": "shelf.proto", "timeout": "1s", "cors": {"origins": [ORIGIN]}}


@pytest.fixture(scope="module")
def descriptors() -> bytes:
    return compile_proto(Path(__file__).parent, "shelf.proto")


@pytest.fixture(scope="module")
def lab(spec_of: Any, lab_of: Any, descriptors: bytes) -> Any:
    spec = spec_of(
        edge={"https": 8443, "http": 8080},
        grpc_1={"protocol": "grpc", "port": 50051, "bridge": BRIDGE},
        web={"port": 9080, "routes": [{"prefix": "/"}], "health": {"path": "/health"}},
    )
    lab = lab_of(spec)
    lab.known["descriptors"] = {"grpc-1": descriptors}
    lab.add(Role.EDGE, "edge")
    for _ in range(2):
        address = lab.add(Role.SERVICE, "grpc-1")
        lab.apps[address].close()
        lab.apps[address] = Shelf(address, 50051, descriptors)
    lab.add(Role.SERVICE, "web")
    lab.start()
    return lab


@pytest.fixture(params=["1.1", "2"])
def client(lab: Any, request: Any) -> Iterator[httpx.Client]:
    """JSON and gRPC-Web over either version of HTTP."""
    for app in lab.apps.values():
        app.seen.clear()
    with lab.client(http1=request.param == "1.1", http2=request.param == "2") as client:
        yield client


@pytest.fixture
def http1(lab: Any) -> Iterator[httpx.Client]:
    with lab.client() as client:
        yield client


@pytest.fixture
def call(lab: Any, descriptors: bytes) -> Iterator[Callable[..., Any]]:
    """Calls a method as a native gRPC client, on one channel."""
    types = message_types(descriptors)
    edge = lab.endpoints[0].address
    ca = (lab.directory / "ca.pem").read_bytes()
    with grpc.secure_channel(f"{edge}:8443", grpc.ssl_channel_credentials(ca)) as channel:

        def make(name: str, request: Any, *, path: str = f"/{SERVICE}", timeout: float | None = 5, stream: bool = False) -> Any:
            kind = channel.unary_stream if stream else channel.unary_unary
            method = kind(
                f"{path}/{name}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=types["Book"].FromString,
            )
            return method(request, timeout=timeout)

        make.types = types  # type: ignore[attr-defined]
        yield make


@envoy
def test_json_by_the_annotations(client: httpx.Client) -> None:
    """Acceptance 97."""
    response = client.get("/shelf/v1/info/bob?count=3")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body.pop("service").startswith("127.")
    assert body == {"name": "bob", "count": 3}
    assert client.get("/shelf/v1/info/a%20b").json()["name"] == "a b"
    assert client.get("/shelf/v1/shelves/top/books/x").json()["shelf"] == "top"
    assert client.post("/shelf/v1/books", json={"name": "new", "count": 2}).json() == {"name": "new", "count": 2}


@envoy
def test_json_without_annotation_is_a_post_of_the_methods_name(client: httpx.Client) -> None:
    assert client.post(f"/shelf/{SERVICE}/Ping", json={"name": "x"}).json() == {"name": "x"}
    assert client.get(f"/shelf/{SERVICE}/Ping").status_code in (404, 405)


@envoy
@pytest.mark.parametrize(
    ("name", "status", "code"),
    [("nobody", 404, 5), ("secret", 403, 7), ("bad", 400, 3), ("late", 504, 4), ("away", 503, 14), ("broken", 500, 13)],
)
def test_a_grpc_error_is_an_http_status_with_a_json_body(client: httpx.Client, name: str, status: int, code: int) -> None:
    """Acceptance 98."""
    response = client.get(f"/shelf/v1/info/{name}")
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"code": code, "message": f"{name} is refused"}


@envoy
@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("POST", "/v1/books", "{", 400, "Unexpected end of string"),
        ("POST", "/v1/books", '{"name": [}', 400, "cannot start list"),
        ("POST", "/v1/books", '{"name": "x" "y"}', 400, "^"),
        ("POST", "/v1/books", '{"count": "many"}', 400, 'count: invalid value "many"'),
        ("GET", "/v1/info/bob?pages=3", "", 400, "pages"),
        ("GET", "/v1/info/bob?count=many", "", 400, "count"),
        ("GET", "/v1/nothing", "", 404, ""),
        ("POST", f"/{SERVICE}/Nothing", "{}", 404, ""),
        ("DELETE", "/v1/books", "", 404, ""),
    ],
)
def test_json_that_is_wrong_never_reaches_the_service(
    lab: Any, client: httpx.Client, method: str, path: str, body: str, status: int, text: str
) -> None:
    """Acceptance 99."""
    response = client.request(method, f"/shelf{path}", content=body, headers={"content-type": "application/json"})
    assert (response.status_code, text in response.text) == (status, True), response.text
    assert not [seen for app in lab.apps.values() for seen in app.seen]


@envoy
def test_fields_that_the_message_does_not_have_are_ignored_in_a_body_and_a_query_wins_over_the_path(client: httpx.Client) -> None:
    """Known limits of Envoy's transcoder: so nothing before the service may decide by what a path binds."""
    assert client.post("/shelf/v1/books", json={"pages": 3}).json() == {}
    assert client.get("/shelf/v1/info/bob?name=eve").json()["name"] == "eve"


@envoy
def test_a_stream_is_a_json_array(client: httpx.Client) -> None:
    """Acceptance 99."""
    response = client.get("/shelf/v1/books?count=3")
    assert response.status_code == 200
    assert [book["count"] for book in response.json()] == [1, 2, 3]


@envoy
def test_a_stream_arrives_as_it_is_sent(client: httpx.Client) -> None:
    started = time.monotonic()
    with client.stream("GET", "/shelf/v1/books?count=3&interval_ms=200") as response:
        arrivals = [(time.monotonic() - started, data) for data in response.iter_bytes()]
    assert b'"count":1' in arrivals[0][1]
    assert arrivals[0][0] < 0.2
    assert arrivals[-1][0] > 0.4


@envoy
def test_answers_and_requests_up_to_a_mebibyte_are_transcoded(client: httpx.Client) -> None:
    assert client.post("/shelf/v1/books", json={"name": "x" * 500_000}).json() == {"name": "x" * 500_000}
    response = client.post("/shelf/v1/books", json={"name": "x" * 1_100_000})
    assert response.status_code in (413, 500)
    assert "internal buffer size exceeds the configured limit" in response.text


@envoy
def test_grpc_over_http1_is_answered_with_the_status_as_a_header(lab: Any, http1: httpx.Client, descriptors: bytes) -> None:
    """Acceptance 94; Python's server resets the stream without `te: trailers`, which the route adds."""
    types = message_types(descriptors)
    for prefix in ("", "/shelf"):
        response = http1.post(
            f"{prefix}/{SERVICE}/Ping", content=framed(types["Book"](name="foo")), headers={"content-type": "application/grpc"}
        )
        assert (response.http_version, response.status_code, response.headers["grpc-status"]) == ("HTTP/1.1", 200, "0")
        [(flag, data)] = frames(response.content)
        assert (flag, types["Book"].FromString(data).name) == (0, "foo")


@envoy
def test_what_is_written_over_http1_is_read_over_http1(lab: Any, http1: httpx.Client, descriptors: bytes) -> None:
    """Acceptance 94: written, read, overwritten, read; the service saw each call."""
    types = message_types(descriptors)
    before = sum(len(app.seen) for app in lab.apps.values())

    def call(method: str, request: Any) -> Any:
        answer = http1.post(f"/{SERVICE}/{method}", content=framed(request), headers={"content-type": "application/grpc"})
        assert (answer.status_code, answer.headers["grpc-status"]) == (200, "0")
        [(_, data)] = frames(answer.content)
        return types["Book"].FromString(data)

    for count in (3, 4):
        call("Put", types["Book"](name="foo", count=count))
        assert call("Get", types["GetRequest"](name="foo")).count == count
    assert sum(len(app.seen) for app in lab.apps.values()) == before + 4


@envoy
@pytest.mark.parametrize("prefix", ["", "/shelf"])
def test_an_unknown_method_is_unimplemented(http1: httpx.Client, call: Any, prefix: str) -> None:
    """Acceptance 95."""
    response = http1.post(f"{prefix}/{SERVICE}/Nothing", content=framed(call.types["Book"]()), headers={"content-type": "application/grpc"})
    assert response.headers["grpc-status"] == "12"
    with pytest.raises(grpc.RpcError) as caught:
        call("Nothing", call.types["Book"](), path=f"{prefix}/{SERVICE}")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]


@envoy
@pytest.mark.parametrize("prefix", ["", "/shelf"])
def test_grpc_web_gets_its_trailers_in_the_body(client: httpx.Client, descriptors: bytes, prefix: str) -> None:
    """Acceptance 101."""
    types = message_types(descriptors)
    headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", "origin": ORIGIN}
    response = client.post(f"{prefix}/{SERVICE}/Get", content=framed(types["GetRequest"](name="bob")), headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (200, "application/grpc-web+proto")
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert "grpc-status" in response.headers["access-control-expose-headers"]
    (flag, data), (trailer_flag, trailers) = frames(response.content)
    assert (flag, types["Book"].FromString(data).name) == (0, "bob")
    assert trailer_flag == 0x80
    assert b"grpc-status:0\r\n" in trailers
    refused = client.post(f"{prefix}/{SERVICE}/Get", content=framed(types["GetRequest"](name="nobody")), headers=headers)
    assert (refused.status_code, refused.headers["grpc-status"]) == (200, "5")


@envoy
def test_a_browsers_preflight_is_answered_by_the_edge(lab: Any, client: httpx.Client) -> None:
    """Acceptance 60."""
    asked = {"origin": ORIGIN, "access-control-request-method": "POST", "access-control-request-headers": "content-type,x-grpc-web"}
    response = client.options(f"/shelf/{SERVICE}/Get", headers=asked)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert {"content-type", "x-grpc-web"} <= set(response.headers["access-control-allow-headers"].split(", "))
    assert not [seen for app in lab.apps.values() for seen in app.seen]
    other = client.options(f"/shelf/{SERVICE}/Get", headers=asked | {"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


@envoy
@pytest.mark.parametrize("path", [f"/{SERVICE}", f"/shelf/{SERVICE}"])
def test_native_grpc_calls_and_streams_on_the_same_port(call: Any, path: str) -> None:
    assert call("Get", call.types["GetRequest"](name="bob"), path=path).name == "bob"
    assert [book.count for book in call("List", call.types["ListRequest"](count=3), path=path, stream=True)] == [1, 2, 3]
    with pytest.raises(grpc.RpcError) as caught:
        call("Get", call.types["GetRequest"](name="nobody"), path=path)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND  # type: ignore[attr-defined]
    assert caught.value.details() == "nobody is refused"  # type: ignore[attr-defined]


@envoy
def test_each_call_of_one_connection_is_balanced(call: Any, client: httpx.Client) -> None:
    native = Counter(call("Get", call.types["GetRequest"](name="x")).service for _ in range(20))
    as_json = Counter(client.get("/shelf/v1/info/x").json()["service"] for _ in range(20))
    assert sorted(native.values()) == sorted(as_json.values()) == [10, 10]


@envoy
def test_a_clients_deadline_holds_and_is_seen_by_the_service(lab: Any, call: Any) -> None:
    slow = call.types["GetRequest"](count=1500)
    assert call("Slow", slow, timeout=5).service.startswith("127.")
    started = time.monotonic()
    with pytest.raises(grpc.RpcError) as caught:
        call("Slow", slow, timeout=0.5)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # type: ignore[attr-defined]
    assert time.monotonic() - started < 0.8
    left = min(seen["left"] for app in lab.apps.values() for name, seen in app.seen if name == "Slow")
    assert 0.2 < left < 0.51


@envoy
def test_who_sets_no_deadline_has_the_bridges(call: Any, client: httpx.Client) -> None:
    started = time.monotonic()
    response = client.get("/shelf/v1/slow?count=3000")
    assert 0.9 < time.monotonic() - started < 1.6
    assert response.status_code == 504, response.text
    with pytest.raises(grpc.RpcError) as caught:
        call("Slow", call.types["GetRequest"](count=3000), timeout=None)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # type: ignore[attr-defined]
    assert client.get("/shelf/v1/slow?count=1500", headers={"grpc-timeout": "5S"}).status_code == 200


@envoy
def test_statistics_name_the_methods(lab: Any, http1: httpx.Client, call: Any, descriptors: bytes) -> None:
    """Acceptance 104."""
    edge = lab.endpoints[0].address
    before = {name: int(value) for name, value in lab.statistics(edge).items() if name.startswith("cluster.grpc-1.grpc")}
    call("Get", call.types["GetRequest"](name="x"))
    http1.get("/shelf/v1/info/x")
    http1.get("/shelf/v1/info/nobody")
    http1.get("/shelf/v1/info/away")
    web = {"content-type": "application/grpc-web+proto"}
    http1.post(f"/{SERVICE}/Get", content=framed(call.types["GetRequest"](name="bob")), headers=web)
    after = {name: int(value) for name, value in lab.statistics(edge).items() if name.startswith("cluster.grpc-1.grpc")}
    grown = {
        name.removeprefix("cluster.grpc-1."): value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)
    }
    method = f"grpc.{SERVICE}.Get"
    assert {name: grown.get(f"{method}.{name}") for name in ("0", "5", "14", "success", "failure", "total")} == {
        "0": 3,
        "5": 1,
        "14": 1,
        "success": 3,
        "failure": 2,
        "total": 5,
    }


@envoy
@pytest.mark.parametrize("path", ["/shelfish/v1/books", "/v1/books", "/"])
def test_other_paths_are_other_routes(lab: Any, http1: httpx.Client, path: str) -> None:
    assert http1.get(path).json()["address"] == lab.endpoints[-1].address


@envoy
def test_every_way_in_is_guarded_as_the_bridge_says(spec_of: Any, lab_of: Any, descriptors: bytes) -> None:
    auth = {"issuer": "https://login.example.com", "jwks": "http://127.0.0.1:1/keys", "audiences": ["mesh"]}
    grpc_1 = {"protocol": "grpc", "port": 50051, "bridge": BRIDGE | {"auth": "jwt"}}
    lab = lab_of(spec_of(edge={"https": 8443, "http": 8080, "auth": auth}, grpc_1=grpc_1))
    lab.known["descriptors"] = {"grpc-1": descriptors}
    lab.add(Role.EDGE, "edge")
    lab.add(Role.SERVICE, "grpc-1")
    lab.start()
    body = framed(message_types(descriptors)["GetRequest"](name="x"))
    with lab.client(http2=True) as client:
        assert client.get("/shelf/v1/info/x").status_code == 401
        for prefix in ("", "/shelf"):
            for kind in ("application/grpc", "application/grpc-web+proto"):
                response = client.post(f"{prefix}/{SERVICE}/Get", content=body, headers={"content-type": kind, "te": "trailers"})
                assert response.status_code == 401 or response.headers["grpc-status"] == "16", (prefix, kind)
    assert not lab.apps[lab.endpoints[1].address].count("POST")
