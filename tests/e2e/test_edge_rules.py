"""What routes of the local stack may ask of an edge, all of it turned on by one `./mesh up` and off by another."""

import json
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from cryptography import x509
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from model.contract import METRICS_PORT, certificate_parameters
from tests.authority import Authority
from tests.e2e.driver import Stack, eventually
from tests.e2e.sight import growth, metrics
from tests.external import Authorizer, Limiter

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PREFLIGHT = {"access-control-request-method": "PUT", "access-control-request-headers": "x-token"}
RESTRICTED = {"origins": ["http://*.envoyproxy.io"], "methods": ["GET", "PUT"], "headers": ["x-token"]}
FRIEND = "https://www.envoyproxy.io"
ROUTES = [
    {"prefix": "/closed"},
    {"prefix": "/open", "cors": {"origins": ["*"]}},
    {"prefix": "/restricted", "cors": RESTRICTED},
    {"prefix": "/form", "csrf": {"origins": [FRIEND]}},
    {"prefix": "/watched", "csrf": {"enforce": False}},
    {"prefix": "/asked", "authorize": True},
    {"prefix": "/few", "rateLimits": [{"requests": 2, "per": "5s"}]},
    {"prefix": "/one", "rateLimits": [{"requests": 1, "per": "60m"}]},
    {"prefix": "/outside"},
    {"prefix": "/named", "domains": ["a.local.mesh.internal"]},
    {"prefix": "/named", "domains": ["b.local.mesh.internal"], "auth": "jwt", "require": {"scopes": ["b.read"]}},
    {"prefix": "/named", "domains": ["shop.example.com"], "auth": "login", "websocket": True},
]
SHOP = "/team/shop-tls"


@dataclass(frozen=True, kw_only=True)
class World:
    """The stack with all rules on, and who its edges ask."""

    stack: Stack
    url: str
    authorizer: Authorizer
    limiter: Limiter

    def client(self, source: str = "") -> httpx.Client:
        """At the first edge, over HTTP/1.1; `source` is the address that the edge sees."""
        verified = ssl.create_default_context(cafile=str(self.stack.ca))
        transport = httpx.HTTPTransport(verify=verified, local_address=source or None)
        return httpx.Client(base_url=self.url, transport=transport, trust_env=False)


@pytest.fixture(scope="module")
def world(stack: Stack, urls: list[str]) -> Iterator[World]:
    authorizer, limiter = Authorizer(), Limiter({"service-2:/outside": 2})
    with stack.edited() as mesh:
        mesh["services"]["service-2"]["routes"] += ROUTES
        mesh["services"]["service-1"]["routes"].append({"prefix": "/guarded", "auth": "jwt", "websocket": True})
        mesh["edge"]["authorizer"] = {"address": f"127.0.0.1:{authorizer.port}", "headers": ["x-current-user"]}
        mesh["edge"]["rateLimitService"] = {"address": f"127.0.0.1:{limiter.port}"}
        mesh["edge"]["tls"] |= {"hsts": "30d", "certificates": [{"domains": ["shop.example.com"], "secret": SHOP}]}
    for name, value in zip(certificate_parameters(SHOP), Authority().issue(x509.DNSName("shop.example.com")), strict=True):
        stack.aws("ssm").put_parameter(Name=name, Value=value, Type="SecureString")
    try:
        stack.mesh("up")
        made = World(stack=stack, url=urls[0], authorizer=authorizer, limiter=limiter)
        with made.client() as client:
            eventually("the new routes answer", lambda: client.get("/closed/info").status_code == 200, seconds=10)
        yield made
    finally:
        with stack.edited() as mesh:
            del mesh["services"]["service-2"]["routes"][-len(ROUTES) :], mesh["services"]["service-1"]["routes"][-1]
            del mesh["edge"]["authorizer"], mesh["edge"]["rateLimitService"]
            del mesh["edge"]["tls"]["hsts"], mesh["edge"]["tls"]["certificates"]
        stack.mesh("up")
        authorizer.stop()
        limiter.stop()


def test_scripts_of_allowed_origins_may_read_and_ask(world: World, edges: list[str]) -> None:
    """Acceptance 59, 60, 64."""
    friend, stranger = "http://foo.envoyproxy.io", "http://example.com"
    wanted = {
        ("/closed", friend): None,
        ("/open", stranger): stranger,
        ("/restricted", friend): friend,
        ("/restricted", stranger): None,
    }
    valid, invalid = "http.edge-https.cors.origin_valid", "http.edge-https.cors.origin_invalid"
    with growth(edges, valid, invalid) as counted, world.client() as client:
        for (path, origin), allowed in wanted.items():
            answer = client.get(path, headers={"origin": origin})
            assert (answer.status_code, answer.json()["service"]) == (200, "service-2")
            assert answer.headers.get("access-control-allow-origin") == allowed
    assert counted == {valid: 2, invalid: 1}
    with world.client() as client:
        answer = client.options("/restricted", headers=PREFLIGHT | {"origin": friend})
        assert (answer.status_code, answer.content) == (200, b"")
        named = [answer.headers[f"access-control-allow-{name}"] for name in ("origin", "methods", "headers")]
        assert named == [friend, "GET, PUT", "x-token"]


def test_pages_of_other_origins_change_nothing(world: World, edges: list[str]) -> None:
    """Acceptance 58, 62."""
    name, evil = "http.edge-https.csrf.request_invalid", "https://evil.example"
    pages = {f"{FRIEND}/docs/envoy/latest": 200, f"{evil}/?{FRIEND}/docs/envoy": 403, f"{FRIEND}.evil.example/docs/envoy": 403}
    with growth(edges, name) as counted, world.client() as client:
        refused = client.post("/form", headers={"origin": evil})
        assert (refused.status_code, refused.text) == (403, "Invalid origin")
        assert {page: client.post("/form", headers={"referer": page}).status_code for page in pages} == pages
        assert client.post("/form", headers={"origin": FRIEND}).status_code == 200
        assert client.post("/form", headers={"origin": world.url}).status_code == 200
        assert client.get("/form", headers={"origin": evil}).status_code == 200
        assert client.post("/closed", headers={"origin": evil}).status_code == 200
        assert client.post("/watched", headers={"origin": evil}).status_code == 200
    assert counted == {name: 4}


def test_a_spent_bucket_refuses_until_it_has_filled_again(world: World, edges: list[str]) -> None:
    """Acceptance 65, 66, 67, 68, 69."""
    kinds = ("enabled", "ok", "rate_limited", "enforced")
    names = [f"edge.http_local_rate_limit.{kind}" for kind in kinds]
    with world.client() as client:
        with growth(edges, *names) as counted:
            answers = [client.get("/few/info") for _ in range(3)]
        assert list(counted.values()) == [3, 2, 1, 1]
        answers += [client.get("/few/info") for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200, 429, 429, 429]
        assert [answer.headers.get("x-local-rate-limit") for answer in answers] == [None, None, "true", "true", "true"]
        assert {answer.text for answer in answers[2:]} == {"local_rate_limited"}
        assert {answer.headers["x-ratelimit-limit"] for answer in answers} == {"2"}
        assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["1", "0", "0", "0", "0"]
        assert all(0 <= int(answer.headers["x-ratelimit-reset"]) <= 5 for answer in answers)
        assert [httpx.get(f"http://{edges[0]}:{METRICS_PORT}/ready", trust_env=False).status_code for _ in range(5)] == [200] * 5
        time.sleep(5)
        assert [client.get("/few/info").status_code for _ in range(5)] == [200, 200, 429, 429, 429]
    assert any('envoy_http_local_rate_limit_enforced{envoy_local_http_ratelimit_prefix="edge"}' in metrics(edge) for edge in edges)
    ids = [one["id"] for one in world.stack.machines() if one["role"] == "edge"]
    time.sleep(1)  # Logs are written each second.
    logs = "".join(world.stack.mesh("logs", edge, "envoy").stdout for edge in ids)
    assert '"flags":"RL"' in logs
    assert "local_rate_limited" in logs


def test_different_clients_share_a_bucket_of_the_edge(world: World) -> None:
    """Acceptance 170."""
    found = []
    for number in (1, 2):
        with world.client(f"127.0.11.{number}") as client:
            found.append([client.get("/one/info").status_code for _ in range(2)])
    assert found == [[200, 429], [429, 429]]


def test_the_authorizer_decides_and_names_the_user(world: World) -> None:
    """Acceptance 53."""
    with world.client() as client:
        for headers in ({}, {"authorization": "Bearer nobody"}):
            answer = client.get("/asked/headers", headers=headers)
            assert (answer.status_code, answer.headers["content-length"]) == (403, "0")
        answer = client.get("/asked/headers", headers={"authorization": "Bearer token1", "x-current-user": "root"})
        assert answer.status_code == 200
        assert answer.json()["headers"]["x-current-user"] == "user1"
    assert world.authorizer.asked[-1][:2] == ("GET", "/asked/headers")


def test_a_websocket_of_a_guarded_route_needs_its_token(world: World) -> None:
    """Acceptance 110."""
    token = world.stack.mesh("token").stdout.strip()
    verified = ssl.create_default_context(cafile=str(world.stack.ca))
    url = f"{world.url.replace('https', 'wss')}/guarded/ws"
    with pytest.raises(InvalidStatus) as refused:
        connect(url, ssl=verified, proxy=None)
    assert refused.value.response.status_code == 401
    with connect(url, ssl=verified, proxy=None, additional_headers={"authorization": f"Bearer {token}"}) as socket:
        socket.recv(5)
        socket.send("HELO")
        assert socket.recv(5) == "[ws] HELO"


def test_a_rate_limit_service_decides_and_while_it_is_away_requests_pass(world: World, edges: list[str]) -> None:
    """Acceptance 73; after all that count on the service, since it ends it."""
    over, allowed = (f"cluster.service-2.ratelimit.{name}" for name in ("over_limit", "failure_mode_allowed"))
    with growth(edges, over, allowed) as counted, world.client() as client:
        assert [client.get("/outside/info").status_code for _ in range(3)] == [200, 200, 429]
        world.limiter.stop()
        assert [client.get("/outside/info").status_code for _ in range(3)] == [200] * 3
    assert counted == {over: 1, allowed: 3}


def test_smoke_tries_each_rule_at_its_domain_and_within_its_limits(world: World) -> None:
    wanted = {
        "certificate of shop.example.com": "for shop.example.com, until ",
        "HSTS": "max-age=2592000",
        "a.local.mesh.internal/named/info → service-2": "",
        "b.local.mesh.internal/named → service-2, a token": "200",
        "shop.example.com/named → service-2, a browser": "302 /identity/authorize",
        "shop.example.com/named → service-2, a token": "200",
        "/asked → service-2, the authorizer asked": "403, refused by it",
        "/few: 2 requests per 5 s by edge": "429 of the limit 2",
        "/one: 1 requests per 3600 s by edge": "429 of the limit 1",
    }

    def smoke(code: int) -> list[dict[str, object]]:
        found = json.loads(world.stack.mesh("smoke", "--json", code=code).stdout)["findings"]
        return [one for one in found if one["edge"] == world.url]

    findings = {one["what"]: one for one in smoke(0)}
    assert {what: str(findings[what]["seen"])[: len(seen)] for what, seen in wanted.items()} == wanted
    assert {findings[what]["ok"] for what in wanted} == {True}
    assert str(findings["a.local.mesh.internal/named/info → service-2"]["seen"]).endswith("× 200, 2 instances")
    assert findings["rate limit service"]["ok"] is None
    world.authorizer.stop()
    (failed,) = [one for one in smoke(1) if one["ok"] is False]
    assert failed["what"] == "/asked → service-2, the authorizer asked"
    assert str(failed["seen"]).startswith(f"503: 127.0.0.1:{world.authorizer.port} is away")
