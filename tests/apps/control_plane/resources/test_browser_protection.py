"""What a real edge does for and against browsers: CORS, CSRF, security headers, maintenance, error pages, the authorizer."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from cli.smoke_limits import limits
from cli.smoke_protection import protected
from model.contract import Role
from tests.apps.control_plane.resources.smoke_door import door_of
from tests.external import Authorizer

pytestmark = pytest.mark.envoy

HTTP = {"health": {"path": "/health"}, "port": 9080}
PREFLIGHT = {"access-control-request-method": "PUT", "access-control-request-headers": "x-token"}


@pytest.fixture(scope="module")
def lab(spec_of: Any, lab_of: Any, authorizer: Authorizer) -> Any:
    cors = {"origins": ["http://*.envoyproxy.io", "https://app.example.com"], "methods": ["GET", "PUT"], "headers": ["x-token"]}
    routes = [
        {"prefix": "/closed"},
        {"prefix": "/open", "cors": {"origins": ["*"]}},
        {"prefix": "/restricted", "cors": cors | {"credentials": True}},
        {"prefix": "/form", "csrf": {"origins": ["https://*.friend.example"]}},
        {"prefix": "/watched", "csrf": {"enforce": False}},
        {"prefix": "/token", "auth": "jwt", "cors": {"origins": ["*"]}},
        {"prefix": "/asked", "authorize": True},
        {"prefix": "/repair", "maintenance": True, "rateLimits": [{"requests": 1, "per": "60m"}]}
        | {"csrf": {}, "authorize": True, "auth": "jwt", "websocket": True, "cors": cors | {"credentials": True}},
        {"prefix": "/slow", "timeout": "300ms"},
        {"prefix": "/limited", "cors": {"origins": ["*"]}, "rateLimits": [{"requests": 1, "per": "60m"}]},
    ]
    edge = {
        "https": 8443,
        "http": 8080,
        "tls": {"hsts": "365d"},
        "auth": {"issuer": "https://login.example.com", "jwks": "http://127.0.0.1:1/keys", "audiences": ["mesh"]},
        "authorizer": {"address": f"127.0.0.1:{authorizer.port}", "headers": ["x-current-user"]},
    }
    lab = lab_of(spec_of(edge=edge, web=HTTP | {"routes": routes}))
    lab.add(Role.EDGE, "edge")
    lab.add(Role.SERVICE, "web")
    lab.start()
    return lab


@pytest.fixture
def app(lab: Any) -> Any:
    app = lab.apps[lab.endpoints[1].address]
    app.seen.clear()
    app.delay, app.status, app.headers = 0.0, 200, {}
    return app


@pytest.fixture
def client(lab: Any, app: Any) -> Iterator[httpx.Client]:
    with lab.client() as client:
        yield client


def counter(lab: Any, name: str) -> int:
    return int(lab.statistics(lab.endpoints[0].address).get(name, "0"))


@pytest.mark.parametrize(
    ("path", "origin", "allowed"),
    [
        ("/closed", "http://foo.envoyproxy.io", False),
        ("/open", "http://example.com", True),
        ("/restricted", "http://foo.envoyproxy.io", True),
        ("/restricted", "https://app.example.com", True),
        ("/restricted", "http://example.com", False),
        ("/restricted", "http://envoyproxy.io.evil.example", False),
        ("/restricted", "http://fooenvoyproxy.io", False),
        ("/restricted", "https://foo.envoyproxy.io", False),
        ("/restricted", "null", False),
    ],
)
def test_scripts_of_allowed_origins_may_read_answers(client: httpx.Client, path: str, origin: str, *, allowed: bool) -> None:
    """Acceptance 59."""
    answer = client.get(path, headers={"origin": origin})
    assert answer.status_code == 200
    assert answer.json()["method"] == "GET"
    assert answer.headers.get("access-control-allow-origin") == (origin if allowed else None)
    assert answer.headers.get("access-control-allow-credentials") == ("true" if allowed and path == "/restricted" else None)


def test_the_edge_answers_preflights_and_counts_origins(lab: Any, app: Any, client: httpx.Client) -> None:
    """Acceptance 60, 64."""
    names = ("http.edge-https.cors.origin_valid", "http.edge-https.cors.origin_invalid")
    before = [counter(lab, name) for name in names]
    answer = client.options("/restricted", headers=PREFLIGHT | {"origin": "https://app.example.com"})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
    assert answer.headers["access-control-allow-methods"] == "GET, PUT"
    assert answer.headers["access-control-allow-headers"] == "x-token"
    assert answer.headers["access-control-max-age"] == "3600"
    refused = client.options("/restricted", headers=PREFLIGHT | {"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in refused.headers
    assert app.seen == []
    assert [counter(lab, name) for name in names] == [before[0] + 1, before[1] + 1]


def test_scripts_can_read_refusals_and_when_to_come_again(client: httpx.Client) -> None:
    answers = [client.get("/limited", headers={"origin": "https://a.example"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].headers["access-control-allow-origin"] == "https://a.example"
    assert "x-ratelimit-reset" in answers[1].headers["access-control-expose-headers"]
    grpc = client.post("/limited", headers={"content-type": "application/grpc", "te": "trailers"})
    assert (grpc.status_code, grpc.headers["grpc-status"]) == (200, "8")


def test_requests_of_other_origins_that_change_something_are_refused(lab: Any, app: Any, client: httpx.Client) -> None:
    """Acceptance 62."""
    before = counter(lab, "http.edge-https.csrf.request_invalid")
    for method in ("POST", "PUT", "DELETE"):
        answer = client.request(method, "/form", headers={"origin": "https://evil.example"})
        assert (answer.status_code, answer.text) == (403, "Invalid origin")
    assert counter(lab, "http.edge-https.csrf.request_invalid") == before + 3
    assert app.seen == []
    assert client.get("/form", headers={"origin": "https://evil.example"}).status_code == 200
    assert client.post("/closed", headers={"origin": "https://evil.example"}).status_code == 200


def test_what_would_be_refused_is_only_counted_where_the_config_says_so(lab: Any, client: httpx.Client) -> None:
    """Acceptance 62: shadow."""
    before = counter(lab, "http.edge-https.csrf.request_invalid")
    assert client.post("/watched", headers={"origin": "https://evil.example"}).status_code == 200
    assert counter(lab, "http.edge-https.csrf.request_invalid") == before + 1


@pytest.mark.parametrize(
    ("page", "status"),
    [
        ("https://docs.friend.example/docs/envoy/latest", 200),
        ("https://evil.example/?https://docs.friend.example/docs/envoy", 403),
        ("https://docs.friend.example.evil.example/docs/envoy", 403),
        ("https://docs.friend.example@evil.example/", 403),
    ],
)
def test_a_page_is_known_by_the_whole_of_its_host_and_not_by_a_part_of_its_address(client: httpx.Client, page: str, status: int) -> None:
    """Acceptance 58: the edge decides by `referer` for CSRF alone."""
    assert client.post("/form", headers={"referer": page}).status_code == status


def test_a_preflight_needs_no_token_and_the_request_after_it_does(lab: Any, app: Any, client: httpx.Client) -> None:
    """Acceptance 37: the CORS filter answers before anything asks for a token, so jwt_authn lets nothing pass."""
    origin = {"origin": "https://app.example.com"}
    asked = client.options("/token", headers=PREFLIGHT | origin)
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, origin["origin"])
    refused = client.get("/token", headers=origin)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, origin["origin"])
    assert app.seen == []
    assert counter(lab, "http.edge-https.jwt_authn.cors_preflight_bypassed") == 0


def test_requests_of_the_own_and_of_listed_origins_pass(client: httpx.Client) -> None:
    """Acceptance 62."""
    for origin in (str(client.base_url), "https://a.friend.example"):
        assert client.post("/form", headers={"origin": origin}).status_code == 200
    for origin in ("https://friend.example.evil.example", "https://xfriend.example", "null"):
        assert client.post("/form", headers={"origin": origin}).status_code == 403


def test_the_authorizer_decides(lab: Any, authorizer: Authorizer, app: Any, client: httpx.Client) -> None:
    """Acceptance 53."""
    names = [f"cluster.web.ext_authz.{name}" for name in ("denied", "ok")]
    before = [counter(lab, name) for name in names]
    for headers in ({}, {"authorization": "Bearer nobody"}):
        answer = client.get("/asked/x?y=1", headers=headers)
        assert (answer.status_code, answer.headers["content-length"]) == (403, "0")
    assert app.seen == []
    assert authorizer.asked[-1][:2] == ("GET", "/asked/x?y=1")
    assert authorizer.asked[-1][2]["x-request-id"]
    answer = client.get("/asked", headers={"authorization": "Bearer token1", "x-current-user": "root"})
    assert answer.status_code == 200
    assert answer.json()["headers"]["x-current-user"] == "user1"
    assert "x-other" not in answer.json()["headers"]
    assert [counter(lab, name) for name in names] == [before[0] + 2, before[1] + 1]
    lab.wait_for_log(lab.endpoints[0].address, "ext_authz_denied")


def test_without_its_authorizer_a_route_is_closed_unless_the_config_opens_it(spec_of: Any, lab_of: Any) -> None:
    for fail_open, status in ((False, 503), (True, 200)):
        edge = {"https": 8443, "http": 8080, "authorizer": {"address": "127.0.0.1:1", "failOpen": fail_open}}
        lab = lab_of(spec_of(edge=edge, web=HTTP | {"routes": [{"prefix": "/asked", "authorize": True}]}))
        lab.add(Role.EDGE, "edge")
        lab.add(Role.SERVICE, "web")
        lab.start()
        with lab.client() as client:
            assert client.get("/asked").status_code == status
        assert counter(lab, "cluster.web.ext_authz.error") == 1
        assert counter(lab, "cluster.web.ext_authz.failure_mode_allowed") == fail_open


def test_the_authorizers_own_words_reach_the_client(client: httpx.Client) -> None:
    answer = client.get("/asked/json", headers={"accept": "application/json"})
    assert (answer.status_code, answer.text) == (403, '{"why":"no token"}')


def test_other_routes_do_not_ask_and_cannot_forge_its_headers(authorizer: Authorizer, client: httpx.Client) -> None:
    before = len(authorizer.asked)
    assert "x-current-user" not in client.get("/closed", headers={"x-current-user": "root"}).json()["headers"]
    assert client.get("/nowhere").status_code == 404
    assert len(authorizer.asked) == before


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_route_in_maintenance_answers_by_itself_to_everybody(lab: Any, app: Any, client: httpx.Client, method: str) -> None:
    for _ in range(3):
        answer = client.request(method, "/repair/x", headers={"origin": "https://evil.example"})
        assert (answer.status_code, answer.text, answer.headers["retry-after"]) == (503, "under maintenance\n", "60")
    page = client.request(method, "/repair", headers={"accept": "text/html"})
    assert page.status_code == 503
    assert "Please try again in a minute" in page.text
    assert app.seen == []
    scraped = httpx.get(f"http://{lab.endpoints[0].address}:9902/stats/prometheus").text
    assert 'envoy_http_fault_aborts_injected{envoy_http_conn_manager_prefix="edge-https"}' in scraped
    lab.wait_for_log(lab.endpoints[0].address, "fault_filter_abort")


def test_scripts_can_read_that_a_route_is_in_maintenance(app: Any, client: httpx.Client) -> None:
    """Acceptance 59, 60: CORS is as it is without maintenance, and preflights are answered."""
    origin = {"origin": "https://app.example.com"}
    asked = client.options("/repair", headers=PREFLIGHT | origin)
    assert (asked.status_code, asked.headers["access-control-allow-methods"]) == (200, "GET, PUT")
    answer = client.put("/repair", headers=origin | {"accept": "application/json"})
    assert (answer.status_code, answer.json()["error"], answer.headers["retry-after"]) == (503, "under maintenance\n", "60")
    assert answer.json()["requestId"] == answer.headers["x-request-id"]
    for one in (asked, answer):
        assert one.headers["access-control-allow-origin"] == origin["origin"]
        assert one.headers["access-control-allow-credentials"] == "true"
    assert "retry-after" in answer.headers["access-control-expose-headers"]
    stranger = client.get("/repair", headers={"origin": "https://evil.example"})
    assert (stranger.status_code, stranger.headers.get("access-control-allow-origin")) == (503, None)
    assert app.seen == []


def test_maintenance_is_told_to_those_who_ask_for_a_websocket_or_by_grpc(app: Any, client: httpx.Client) -> None:
    assert client.get("/repair", headers={"connection": "Upgrade", "upgrade": "websocket"}).status_code == 503
    call = client.post("/repair/pkg.Service/Method", headers={"content-type": "application/grpc", "te": "trailers"})
    assert (call.status_code, call.headers["grpc-status"], call.headers["grpc-message"]) == (200, "14", "under maintenance%0A")
    assert app.seen == []


def test_caches_are_told_that_an_answer_depends_on_the_origin(app: Any, client: httpx.Client) -> None:
    """Also the answer to who names none, which else would be shown to scripts; and where any origin may come, for each is named."""
    app.headers = {"vary": "Accept-Encoding"}
    for path in ("/restricted", "/open", "/token", "/repair"):
        own = ["Accept-Encoding"] if path in ("/restricted", "/open") else []
        assert client.get(path).headers.get_list("vary", split_commas=True) == [*own, "Origin"]
        for origin in ({"origin": "https://app.example.com"}, {"origin": "https://evil.example"}):
            assert client.get(path, headers=origin).headers.get_list("vary", split_commas=True) == [*own, "Origin"]
            assert client.options(path, headers=PREFLIGHT | origin).headers["vary"] == "Origin"
    assert client.get("/closed").headers["vary"] == "Accept-Encoding"


def test_errors_are_json_for_those_who_accept_it(app: Any, client: httpx.Client) -> None:
    answer = client.get("/nowhere", headers={"accept": "application/json, text/plain, */*"})
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"status": 404, "error": "", "requestId": answer.headers["x-request-id"]}
    app.delay = 1
    assert client.get("/slow", headers={"accept": "application/json"}).json()["error"] == "upstream request timeout"


def test_errors_are_a_page_for_browsers_and_the_page_shows_nothing_of_the_request(client: httpx.Client) -> None:
    for path, status, title in (("/nowhere", 404, "Not found"), ("/form", 403, "Not allowed")):
        headers = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8", "origin": "https://<b>evil"}
        answer = client.post(f"{path}?q=<script>", headers=headers)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "text/html; charset=UTF-8"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert f"<h1>{title}</h1>" in answer.text
        assert answer.headers["x-request-id"] in answer.text
        assert "<script>" not in answer.text
        assert "evil" not in answer.text


def test_all_others_get_the_words_of_envoy_and_the_request_id(client: httpx.Client) -> None:
    """Acceptance 4."""
    answer = client.get("/nowhere")
    assert (answer.text, answer.headers["content-length"]) == ("", "0")
    assert answer.headers["x-request-id"]


def test_what_an_app_answers_is_never_replaced(app: Any, client: httpx.Client) -> None:
    app.status = 404
    assert client.get("/closed", headers={"accept": "text/html"}).json()["path"] == "/"


def test_security_headers_are_on_every_answer(client: httpx.Client) -> None:
    for path in ("/closed", "/nowhere", "/repair", "/asked"):
        headers = client.get(path).headers
        assert headers["strict-transport-security"] == "max-age=31536000"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "strict-origin-when-cross-origin"
        assert headers["server"] == "envoy"


def test_clients_cannot_tell_apps_another_address_host_or_path(client: httpx.Client) -> None:
    names = ["x-forwarded-for", "x-forwarded-host", "forwarded", "x-real-ip", "x-original-url", "x-forwarded-client-cert"]
    forged = dict.fromkeys(names, "forged.example") | {"x-forwarded-proto": "http", "x-mesh-expected-rq-timeout-ms": "forged.example"}
    seen = client.get("/closed", headers=forged).json()["headers"]
    assert "forged.example" not in json.dumps(seen)
    assert seen["x-forwarded-proto"] == "https"


def test_smoke_finds_each_protection_and_says_so_where_it_is_missing(lab: Any) -> None:
    """With the config of this edge all is well; by another config it would miss what that asks for."""
    routes = {route.prefix: route for route in lab.spec.services["web"].routes}
    everything = routes["/repair"].model_copy(
        update={"prefix": "/closed", "maintenance": False, "cors": routes["/restricted"].cors, "csrf": routes["/form"].csrf}
    )
    only = lab.spec.services["web"].model_copy(update={"routes": [everything]})

    async def findings() -> tuple[list[Any], list[Any]]:
        async with door_of(lab) as door:
            good = [one for route in routes.values() for one in await protected(door, route)]
            good += await limits({"": door}, lab.spec, "/nowhere", {})
            bad = await protected(door, everything)
            return good, bad + await limits({"": door}, lab.spec.model_copy(update={"services": {"web": only}}), "/nowhere", {})

    good, bad = asyncio.run(findings())
    assert [one.what for one in good if one.ok is not True] == []
    kinds = {"maintenance", "CORS of a stranger", "POST of a stranger's page", "1 requests per 3600 s by edge"}
    assert {one.what.partition(": ")[2] for one in good} >= kinds
    assert [one.what.partition(": ")[2] for one in bad if one.ok] == []
    assert len(bad) == 4
