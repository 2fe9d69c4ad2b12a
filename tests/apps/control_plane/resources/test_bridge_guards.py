"""What a bridge asks of requests, at a real edge: each key holds on every way in, and each client is told in its own words."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import grpc
import pytest

from cli.finding import Finding
from cli.smoke_limits import limits
from cli.smoke_protection import protected
from model.contract import Role
from model.proto_files import compile_proto
from tests.apps.control_plane.resources.key_server import KEY, KeyServer, bearer, edge_of, token
from tests.apps.control_plane.resources.shelf import Shelf, message_types
from tests.apps.control_plane.resources.smoke_door import door_of
from tests.external import Authorizer
from tests.grpc_frames import framed, frames

pytestmark = pytest.mark.envoy

PAGE = "https://app.example.com"
STRANGER = "https://evil.example.com"
PACKAGES = {"shelf": "test.shelf.v1", "stand": "test.stand.v1", "chest": "test.chest.v1"}
"""Of each service of the lab, which all have the one proto; as long as each other, so that one can stand for another in its bytes."""
BRIDGES: dict[str, dict[str, Any]] = {
    "shelf": {
        "auth": "jwt",
        "require": {"scopes": ["books"]},
        "csrf": {"origins": [PAGE]},
        "rateLimits": [{"requests": 2, "per": "60m", "by": "claim:sub"}],
    },
    "stand": {"authorize": True, "rateLimits": [{"requests": 100, "per": "60m", "by": "client"}]},
    "chest": {"maintenance": True, "auth": "jwt", "require": {"scopes": ["books"]}, "csrf": {}, "authorize": True},
}
WAYS = [("JSON", True), *((kind, below) for kind in ("gRPC-Web", "HTTP/1.1", "native") for below in (False, True))]
"""Kind of client, and whether it asks below the bridge's prefix or at the service's own path."""
AS_HTTP = {200: "OK", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
"""What clients of JSON and gRPC-Web get in the place of a status."""

STATUSES: dict[int, str] = {status.value[0]: status.name for status in grpc.StatusCode}

Ask = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def descriptors() -> dict[str, bytes]:
    compiled = compile_proto(Path(__file__).parent, "shelf.proto")
    return {name: compiled.replace(PACKAGES["shelf"].encode(), package.encode()) for name, package in PACKAGES.items()}


@pytest.fixture(scope="module")
def lab(spec_of: Any, lab_of: Any, descriptors: dict[str, bytes], authorizer: Authorizer) -> Iterator[Any]:
    keys = KeyServer("127.0.0.1")
    keys.keys = [KEY]
    services = {
        name: {"protocol": "grpc", "port": 50051, "bridge": {"prefix": f"/{name}", "proto": "shelf.proto"} | bridge}
        for name, bridge in BRIDGES.items()
    }
    edge = edge_of(keys.url) | {"authorizer": {"address": f"127.0.0.1:{authorizer.port}"}}
    lab = lab_of(spec_of(edge=edge, **services))
    lab.known["descriptors"] = descriptors
    lab.add(Role.EDGE, "edge")
    for name in PACKAGES:
        address = lab.add(Role.SERVICE, name)
        lab.apps[address].close()
        lab.apps[address] = Shelf(address, 50051, descriptors[name], name=f"{PACKAGES[name]}.Shelf")
    lab.start()
    yield lab
    keys.stop()


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0]} {'below the prefix' if way[1] else 'at its own path'}")
def ask(lab: Any, descriptors: dict[str, bytes], request: Any) -> Iterator[Ask]:
    """Puts a book by one of the ways in; returns status, in gRPC's words whatever the way, and message."""
    kind, below = request.param
    book = message_types(descriptors["shelf"])["Book"](name="foo")
    ca = (lab.directory / "ca.pem").read_bytes()
    edge = f"{lab.endpoints[0].address}:8443"
    with lab.client() as client, grpc.secure_channel(edge, grpc.ssl_channel_credentials(ca)) as channel:

        def native(path: str, headers: dict[str, str]) -> tuple[str, str]:
            method = channel.unary_unary(path, lambda message: message.SerializeToString(), type(book).FromString)
            try:
                return "OK", method(book, metadata=list(headers.items()), timeout=5).name
            except grpc.RpcError as error:
                return error.code().name, error.details()  # type: ignore[attr-defined]

        def make(service: str, headers: dict[str, str]) -> tuple[str, str]:
            path = f"/{service}" * below + f"/{PACKAGES[service]}.Shelf/Put"
            if kind == "native":
                return native(path, headers)
            if kind == "JSON":
                answer = client.post(f"/{service}/v1/books", json={"name": "foo"}, headers=headers)
                return AS_HTTP[answer.status_code], answer.json()["name"] if answer.is_success else answer.text
            form = {"HTTP/1.1": "application/grpc", "gRPC-Web": "application/grpc-web+proto"}[kind]
            answer = client.post(path, content=framed(book), headers=headers | {"content-type": form})
            assert answer.headers["content-type"] == form
            message = unquote(answer.headers.get("grpc-message", ""))
            if answer.content:
                message = type(book).FromString(frames(answer.content)[0][1]).name
            if kind == "gRPC-Web":
                return AS_HTTP[answer.status_code], message
            assert answer.status_code == 200
            return STATUSES[int(answer.headers["grpc-status"])], message

        yield make


def allowed(subject: str, **more: Any) -> dict[str, str]:
    """What the shelf wants of a request; each subject has a bucket of its own."""
    return bearer(token(sub=subject, scope="books")) | {"origin": PAGE} | more


@pytest.fixture
def subject(request: Any) -> str:
    return str(request.node.name)


def test_who_has_all_that_is_asked_for_is_served(ask: Ask, subject: str) -> None:
    assert ask("shelf", allowed(subject)) == ("OK", "foo")


def test_without_a_token_or_its_scope_nobody_is(lab: Any, ask: Ask, subject: str) -> None:
    before = puts(lab, "shelf")
    assert ask("shelf", {"origin": PAGE}) == ("UNAUTHENTICATED", "Jwt is missing")
    assert ask("shelf", bearer(token(sub=subject, scope="letters")) | {"origin": PAGE}) == ("PERMISSION_DENIED", "RBAC: access denied")
    assert puts(lab, "shelf") == before


def test_pages_of_strangers_are_refused_and_who_names_no_page_too(lab: Any, ask: Ask, subject: str) -> None:
    before = puts(lab, "shelf")
    assert ask("shelf", allowed(subject, origin=STRANGER)) == ("PERMISSION_DENIED", "Invalid origin")
    assert ask("shelf", bearer(token(sub=subject, scope="books"))) == ("PERMISSION_DENIED", "Invalid origin")
    assert puts(lab, "shelf") == before


def test_who_comes_too_often_is_refused_and_nobody_else(lab: Any, ask: Ask, subject: str) -> None:
    before = puts(lab, "shelf")
    found = [ask("shelf", allowed(subject)) for _ in range(3)]
    assert found == [("OK", "foo"), ("OK", "foo"), ("RESOURCE_EXHAUSTED", "local_rate_limited")]
    assert ask("shelf", allowed(f"another {subject}")) == ("OK", "foo")
    assert puts(lab, "shelf") == before + 3


def test_the_authorizer_decides(lab: Any, authorizer: Authorizer, ask: Ask) -> None:
    before, asked = puts(lab, "stand"), len(authorizer.asked)
    assert ask("stand", {}) == ("PERMISSION_DENIED", "")
    assert puts(lab, "stand") == before
    assert ask("stand", bearer("token1")) == ("OK", "foo")
    assert len(authorizer.asked) == asked + 2


def test_the_authorizers_own_words_reach_clients_of_grpc(lab: Any) -> None:
    with lab.client() as client:
        for form in ("application/grpc", "application/grpc-web+proto"):
            answer = client.post(f"/{PACKAGES['stand']}.Shelf/json", content=b"\0" * 5, headers={"content-type": form})
            assert (answer.headers["grpc-status"], unquote(answer.headers["grpc-message"])) == ("7", '{"why":"no token"}')


def test_in_maintenance_everybody_is_told_so_and_the_service_gets_nothing(lab: Any, ask: Ask) -> None:
    for headers in ({}, bearer("no token"), {"origin": STRANGER}):
        assert ask("chest", headers) == ("UNAVAILABLE", "under maintenance\n")
    assert puts(lab, "chest") == 0


def test_all_ways_in_share_a_bucket(lab: Any) -> None:
    headers = allowed("everywhere")
    with lab.client() as client:
        for path in ("/shelf/v1/books", f"/shelf/{PACKAGES['shelf']}.Shelf/Ping"):
            assert client.post(path, json={}, headers=headers).status_code == 200
        own_path = f"/{PACKAGES['shelf']}.Shelf/Put"
        answer = client.post(own_path, content=b"\0" * 5, headers=headers | {"content-type": "application/grpc"})
        assert answer.headers["grpc-status"] == "8"


def test_grpc_web_gets_the_status_beside_that_of_http(lab: Any, descriptors: dict[str, bytes]) -> None:
    """For a 429 it is what gRPC's own table of HTTP statuses says."""
    body = framed(message_types(descriptors["shelf"])["Book"]())
    form = {"content-type": "application/grpc-web+proto"}
    with lab.client() as client:

        def statuses(service: str, headers: dict[str, str]) -> tuple[int, str]:
            answer = client.post(f"/{PACKAGES[service]}.Shelf/Put", content=body, headers=headers | form)
            return answer.status_code, answer.headers.get("grpc-status", "0")

        assert statuses("shelf", {"origin": PAGE}) == (401, "16")
        assert statuses("shelf", allowed("ann", origin=STRANGER)) == (403, "7")
        assert statuses("chest", {}) == (503, "14")
        assert [statuses("shelf", allowed("ann")) for _ in range(3)] == [(200, "0"), (200, "0"), (429, "14")]


@pytest.mark.parametrize("path", ["/chest", "/chest/v1/nothing", "/chest/v1/books?pages=3"])
def test_in_maintenance_it_does_not_matter_whether_a_method_has_the_path(lab: Any, path: str) -> None:
    with lab.client() as client:
        answer = client.get(path)
    assert (answer.status_code, answer.text, answer.headers["retry-after"]) == (503, "under maintenance\n", "60")


def test_smoke_finds_every_protection_of_a_bridge(lab: Any) -> None:
    async def findings() -> list[Finding]:
        async with door_of(lab) as door:
            bridges = [service.bridge.route for service in lab.spec.services.values()]
            found = [one for route in bridges for one in await protected(door, route)]
            return found + await limits({"": door}, lab.spec, "/nowhere", {})

    found = {one.what: one.ok for one in asyncio.run(findings())}
    assert found == {
        "/shelf: POST of a stranger's page": True,
        "/shelf: 2 requests per 3600 s by claim:sub": None,
        "/stand: 100 requests per 3600 s by client": True,
        "/chest: maintenance": True,
    }


def puts(lab: Any, service: str) -> int:
    """Calls that the service has got."""
    [address] = [endpoint.address for endpoint in lab.endpoints if endpoint.service == service]
    return len(lab.apps[address].seen)
