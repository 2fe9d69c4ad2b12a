"""Rate limits at real edges: by edge, by client, over all edges. Static config: says nothing of ADS."""

import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint as EnvoyEndpoint
from envoy.config.endpoint.v3.endpoint_components_pb2 import LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment

from apps.control_plane.model import World
from apps.control_plane.resources.features import FEATURES
from apps.control_plane.resources.protos import address as address_of
from model.contract import Role

HTTP = {"health": {"path": "/health"}, "port": 9080}
HOUR = "60m"
"""A bucket that does not fill again while a test runs."""
TOTAL = 12
RATE = 30

envoy = pytest.mark.envoy


@pytest.fixture(scope="module")
def lab(spec_of: Any, lab_of: Any) -> Any:
    routes = [
        {"prefix": "/free"},
        {"prefix": "/few", "rateLimits": [{"requests": 2, "per": "2s"}]},
        {"prefix": "/counted", "rateLimits": [{"requests": 2, "per": HOUR}]},
        {"prefix": "/methods", "rateLimits": [{"requests": 2, "per": HOUR}]},
        {"prefix": "/client", "rateLimits": [{"requests": 4, "per": HOUR}, {"requests": 2, "per": HOUR, "by": "client"}]},
        {"prefix": "/mine", "rateLimits": [{"requests": 2, "per": HOUR, "by": "client"}]},
        {"prefix": "/all", "rateLimits": [{"requests": 1, "per": HOUR}]},
        {"prefix": "/rate", "rateLimits": [{"requests": RATE, "per": "1s", "by": "mesh"}]},
        *({"prefix": f"/mesh{n}", "rateLimits": [{"requests": TOTAL, "per": HOUR, "by": "mesh"}]} for n in range(3)),
    ]
    lab = lab_of(spec_of(edge={"https": 8443, "http": 8080}, web=HTTP | {"routes": routes}))
    lab.add(Role.EDGE, "edge")
    lab.add(Role.EDGE, "edge")
    lab.add(Role.EDGE, "edge")
    lab.add(Role.SERVICE, "web")
    lab.start()
    return lab


@pytest.fixture
def client(lab: Any) -> Iterator[httpx.Client]:
    lab.apps[lab.endpoints[-1].address].seen.clear()
    with lab.client() as client:
        yield client


@pytest.fixture
def client_at(lab: Any) -> Iterator[Callable[[str], httpx.Client]]:
    """Makes clients that come from an address of their own."""
    opened: list[httpx.Client] = []

    def make(source: str) -> httpx.Client:
        opened.append(lab.client(transport=client_from(lab, source)))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def statuses(client: httpx.Client, path: str, times: int, **more: Any) -> list[int]:
    return [client.get(path, **more).status_code for _ in range(times)]


def test_an_edge_without_limits_has_no_filter_for_them(spec_of: Any) -> None:
    world = World(spec=spec_of(web=HTTP | {"routes": [{"prefix": "/web"}]}), stack="test")
    assert not [item.name for feature in FEATURES for item in feature.filters(world) if "ratelimit" in item.name]


def test_limits_by_claim_come_after_authentication_and_the_others_before(spec_of: Any) -> None:
    keys = ("claim:sub", "mesh", "client", "edge")
    auth = {"issuer": "https://login.example.com", "jwks": "https://login.example.com/keys", "audiences": ["mesh"]}
    edge = {"auth": auth, "rateLimits": [{"requests": 100, "by": key} for key in keys]}
    world = World(spec=spec_of(edge=edge, web=HTTP | {"routes": [{"prefix": "/web", "auth": "jwt"}]}), stack="test")
    order = [item.name.removeprefix("envoy.filters.http.") for feature in FEATURES for item in feature.filters(world)]
    wanted = ["local_ratelimit.edge", "local_ratelimit.mesh", "jwt_authn", "local_ratelimit.claim"]
    assert [name for name in order if name in wanted] == wanted


@envoy
def test_a_spent_bucket_refuses_until_it_has_filled_again(lab: Any, client: httpx.Client) -> None:
    """Acceptance 65, 66, 69."""
    answers = [client.get("/few") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429, 429]
    assert all("x-local-rate-limit" not in answer.headers for answer in answers[:2])
    assert {(answer.headers["x-local-rate-limit"], answer.text) for answer in answers[2:]} == {("true", "local_rate_limited")}
    assert {answer.headers["x-ratelimit-limit"] for answer in answers} == {"2"}
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["1", "0", "0", "0", "0"]
    assert all(0 <= int(answer.headers["x-ratelimit-reset"]) <= 2 for answer in answers)
    time.sleep(2)
    assert statuses(client, "/few", 5) == [200, 200, 429, 429, 429]


@envoy
def test_refused_requests_reach_no_app_and_are_counted_and_logged(lab: Any, client: httpx.Client) -> None:
    """Acceptance 67, 68, 167."""
    edge = lab.endpoints[0].address
    before = limits(lab, edge)
    statuses(client, "/counted", 3)
    assert limits(lab, edge) == {name: before[name] + grown for name, grown in EXPECTED.items()}
    assert lab.apps[lab.endpoints[-1].address].count("GET") == 2
    scraped = httpx.get(f"http://{edge}:9902/stats/prometheus").text
    assert 'envoy_http_local_rate_limit_enforced{envoy_local_http_ratelimit_prefix="edge"}' in scraped
    assert [httpx.get(f"http://{edge}:9902/ready").status_code for _ in range(5)] == [200] * 5
    lab.wait_for_log(edge, "local_rate_limited")
    assert '"flags":"RL"' in lab.log(edge).read_text().replace(" ", "")


EXPECTED = {"enabled": 3, "ok": 2, "rate_limited": 1, "enforced": 1}


def limits(lab: Any, edge: str) -> dict[str, int]:
    statistics = lab.statistics(edge)
    return {name: int(statistics.get(f"edge.http_local_rate_limit.{name}", "0")) for name in EXPECTED}


@envoy
def test_all_methods_of_a_route_share_its_bucket(client: httpx.Client) -> None:
    answers = [client.get("/methods"), client.post("/methods"), client.get("/methods"), client.post("/methods")]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]


@envoy
def test_limits_of_the_edge_count_what_others_refuse(spec_of: Any, lab_of: Any) -> None:
    """Also a malformed token, a route that is not there or in maintenance, and another site's form; each bucket is a client's.

    Not what the edge answers before: preflights, which let no request through, and redirects of escaped slashes.
    """
    routes = [
        {"prefix": "/token", "auth": "jwt", "cors": {"origins": ["https://a.example"]}},
        {"prefix": "/form", "csrf": {}},
        {"prefix": "/repair", "maintenance": True},
    ]
    auth = {"issuer": "https://login.example.com", "jwks": "http://127.0.0.1:1/keys", "audiences": ["mesh"]}
    edge = {"https": 8443, "http": 8080, "auth": auth, "rateLimits": [{"requests": 2, "per": HOUR, "by": "client"}]}
    lab = lab_of(spec_of(edge=edge, web=HTTP | {"routes": routes}))
    lab.add(Role.EDGE, "edge")
    lab.add(Role.SERVICE, "web")
    lab.start()
    origin = {"origin": "https://a.example"}
    asked: list[tuple[str, str, dict[str, str], int]] = [
        ("GET", "/token", {"authorization": "Bearer a.b.c.d"}, 403),
        ("GET", "/token", {}, 401),
        ("GET", "/nowhere", {}, 404),
        ("GET", "/repair", {}, 503),
        ("GET", "/form", {"host": "a,b"}, 400),
        ("POST", "/form", {"origin": "https://evil.example"}, 403),
    ]
    uncounted = [("OPTIONS", "/token", origin | {"access-control-request-method": "PUT"}, 200), ("GET", "/form%2finfo", {}, 307)]
    for number, (method, path, headers, status) in enumerate(asked):
        with lab.client(transport=client_from(lab, f"127.0.12.{number}")) as client:
            assert [client.request(method, path, headers=headers).status_code for _ in range(3)] == [status, status, 429]
    for number, (method, path, headers, status) in enumerate(uncounted):
        with lab.client(transport=client_from(lab, f"127.0.13.{number}")) as client:
            assert {client.request(method, path, headers=headers).status_code for _ in range(3)} == {status}
            assert statuses(client, "/nowhere", 3) == [404, 404, 429]
            refused = client.get("/token", headers=origin)
            assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (429, origin["origin"])


def client_from(lab: Any, source: str) -> httpx.HTTPTransport:
    """For a client at an address of its own."""
    trust = ssl.create_default_context(cafile=str(lab.directory / "ca.pem"))
    return httpx.HTTPTransport(local_address=source, verify=trust)


@envoy
def test_a_route_without_limits_has_none(client: httpx.Client) -> None:
    answer = client.get("/free")
    assert answer.status_code == 200
    assert not [name for name in answer.headers if "ratelimit" in name]


@envoy
def test_each_client_has_its_bucket_within_the_routes(client_at: Any) -> None:
    one, two, three = (client_at(f"127.0.10.{n}") for n in (1, 2, 3))
    assert statuses(one, "/client", 5) == [200, 200, 429, 429, 429]
    # What was refused took nothing from the route's own bucket of four.
    assert statuses(two, "/client", 1) == [200]
    assert statuses(three, "/client", 2) == [200, 429]


@envoy
def test_different_clients_share_the_edges_bucket(client_at: Any) -> None:
    """Acceptance 170."""
    answers = [statuses(client_at(f"127.0.11.{n}"), "/all", 2) for n in (1, 2)]
    assert answers == [[200, 429], [429, 429]]


@envoy
def test_a_client_gets_no_second_bucket_by_its_headers_or_connections(lab: Any, client: httpx.Client) -> None:
    forged = ({"x-forwarded-for": f"198.51.100.{n}", "x-real-ip": f"198.51.100.{n}"} for n in range(4))
    answers = []
    for headers in forged:
        with lab.client() as fresh:
            answers.append(fresh.get("/mine", headers=headers).status_code)
    assert answers == [200, 200, 429, 429]


@envoy
def test_a_total_over_all_edges_is_kept_however_many_there_are(lab: Any) -> None:
    """Three edges share 12 requests: each grants 4, so one that gets less leaves its share unused: the error is to the safe side."""
    edges = [endpoint.address for endpoint in lab.endpoints if endpoint.role is Role.EDGE]
    granted: Counter[str] = Counter()
    for edge in edges:
        with lab.client(edge) as client:
            granted[edge] = statuses(client, "/mesh0", TOTAL).count(200)
    assert granted == dict.fromkeys(edges, TOTAL // 3)


@envoy
def test_an_edges_share_follows_the_number_of_live_edges(lab: Any) -> None:
    """What one edge grants is never more than the total, whatever it believes."""
    edge = lab.endpoints[1].address
    members = [endpoint.address for endpoint in lab.endpoints if endpoint.role is Role.EDGE]
    with lab.client(edge) as client:
        assert statuses(client, "/mesh1", 2) == [200, 200]
        # Six of its twelve tokens are spent. Alone it may spend the rest one by one.
        lab.set_group(edge, group(members[1:2]))
        time.sleep(0.5)
        assert statuses(client, "/mesh1", TOTAL).count(200) == TOTAL - 6
        lab.set_group(edge, group(members))
        time.sleep(0.5)
        assert statuses(client, "/mesh2", TOTAL).count(200) == TOTAL // 3


@envoy
def test_over_time_all_edges_together_grant_what_one_bucket_would(lab: Any) -> None:
    """In any time: one full bucket and what flows into it meanwhile; and, with work on every edge, not much less."""
    edges = [endpoint.address for endpoint in lab.endpoints if endpoint.role is Role.EDGE]
    began, until = time.monotonic(), time.monotonic() + 3

    def press(edge: str) -> int:
        granted = 0
        with lab.client(edge) as client:
            while time.monotonic() < until:
                granted += client.get("/rate").status_code == 200
        return granted

    with ThreadPoolExecutor(len(edges)) as pool:
        granted = sum(pool.map(press, edges))
    most = RATE * (1 + time.monotonic() - began)
    assert 0.8 * most <= granted <= most


def group(addresses: list[str]) -> ClusterLoadAssignment:
    endpoints = [LbEndpoint(endpoint=EnvoyEndpoint(address=address_of(address, 8443))) for address in addresses]
    return ClusterLoadAssignment(cluster_name="mesh.local", endpoints=[LocalityLbEndpoints(lb_endpoints=endpoints)])
