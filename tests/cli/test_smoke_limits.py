"""Each limit of a stack has a finding of its own: a small one is spent, a large one is looked for, and what hides one is said."""

import asyncio
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from cli.finding import Finding
from cli.smoke_auth import token_for
from cli.smoke_limits import limits
from model.edge import RequireSpec, RouteSpec
from model.read import read_mesh
from model.spec import MeshSpec
from tests.cli.fake_edge import Bucket, FakeEdge

NO_ROUTE = "/none"
TOKEN = jwt.encode({"alg": "HS256"}, {"sub": "smoke"}, OctKey.import_key("a key of no issuer, long enough for this"))


def mesh(edge: dict[str, Any], *routes: dict[str, Any]) -> MeshSpec:
    service = {"protocol": "http", "port": 8080, "image": {"build": "apps/http_service"}, "routes": list(routes)}
    auth = {"issuer": "builtin", "audiences": ["mesh"], "login": {"clientId": "mesh-edge"}}
    content = {"domain": "local.mesh.internal", "network": {"cidr": "127.20.0.0/16", "zones": 1}, "services": {"shop": service}}
    return read_mesh({**content, "edge": {"https": 8443, "http": 8080, "auth": auth, **edge}}, local=True)


def found(edge: FakeEdge, spec: MeshSpec, *, front: tuple[str, ...] = ("edge",), tokens: bool = True) -> list[Finding]:
    domains = {domain for route in spec.services["shop"].routes for domain in route.domains}
    doors = {domain: edge.door(domain=domain, limited=True, front=front) for domain in ("", *domains)}
    return asyncio.run(limits(doors, spec, NO_ROUTE, {frozenset(): TOKEN} if tokens else {}))


def test_a_small_limit_is_spent_at_its_route_and_domain() -> None:
    bucket = Bucket(3, reset=4)
    edge = FakeEdge(lambda request: bucket.take(httpx.Response(200)))
    route = {"prefix": "/few", "domains": ["a.local.mesh.internal"], "rateLimits": [{"requests": 3, "per": "10s", "by": "client"}]}
    (finding,) = found(edge, mesh({}, route))
    assert finding.what == "a.local.mesh.internal/few: 3 requests per 10 s by client"
    assert (finding.ok, finding.seen) == (True, "429 of the limit 3")
    assert {(request.headers["host"], request.url.path) for request in edge.asked} == {("a.local.mesh.internal:8443", "/few")}
    assert len(edge.asked) == 4


def test_a_large_limit_of_the_edge_is_looked_for_where_no_route_is() -> None:
    edge = FakeEdge(lambda request: Bucket(100).take(httpx.Response(404)))
    (finding,) = found(edge, mesh({"rateLimits": [{"requests": 100, "by": "client"}]}))
    assert (finding.ok, finding.seen, [request.url.path for request in edge.asked]) == (True, "limit 100", [NO_ROUTE])


@pytest.mark.parametrize("requests", [3, 50])
def test_a_limit_that_no_answer_shows_has_failed(requests: int) -> None:
    edge = FakeEdge(lambda request: httpx.Response(200))
    (finding,) = found(edge, mesh({}, {"prefix": "/few", "rateLimits": [{"requests": requests}]}))
    assert finding.ok is False
    assert finding.seen.endswith("× 200, no such limit")


def test_a_limit_that_another_hides_is_not_exercised() -> None:
    edge = FakeEdge(lambda request: Bucket(20).take(httpx.Response(200)))
    spec = mesh({"rateLimits": [{"requests": 20, "by": "client"}]}, {"prefix": "/many", "rateLimits": [{"requests": 50, "by": "client"}]})
    many, wide = found(edge, spec)
    assert (many.ok, many.seen, wide.ok) == (None, "the limit 20 is nearer to its end", True)


def test_limits_by_claim_are_met_with_a_token_that_has_the_claim() -> None:
    edge = FakeEdge(lambda request: Bucket(900).take(httpx.Response(200)) if "authorization" in request.headers else httpx.Response(401))
    by_claim = [{"requests": 900, "by": "claim:sub"}, {"requests": 90, "by": "claim:tenant"}]
    spec = mesh({"rateLimits": by_claim}, {"prefix": "/in", "auth": "jwt"})
    sub, tenant = found(edge, spec)
    assert (sub.ok, sub.seen) == (True, "limit 900")
    assert (tenant.ok, tenant.seen) == (None, "the stack's tokens have no tenant")
    assert [one.seen for one in found(edge, spec, tokens=False)] == ["the stack's issuer gives no token for it"] * 2


def test_through_outer_edges_nothing_is_spent_and_routes_limits_are_looked_for() -> None:
    edge = FakeEdge(lambda request: Bucket(3).take(httpx.Response(200)))
    spec = mesh({"rateLimits": [{"requests": 100}]}, {"prefix": "/few", "rateLimits": [{"requests": 3}]})
    (finding,) = found(edge, spec, front=("us-east-1", "edge"))
    assert (finding.ok, finding.seen, len(edge.asked)) == (True, "limit 3", 1)


def test_a_rate_limit_service_is_named_as_not_exercised() -> None:
    edge = FakeEdge(lambda request: httpx.Response(200))
    (finding,) = found(edge, mesh({"rateLimitService": {"address": "limits.example.com:8081"}}))
    assert (finding.ok, finding.seen) == (None, "nobody here knows the rules of limits.example.com:8081")


def test_routes_of_one_prefix_on_two_domains_have_each_the_token_that_they_require() -> None:
    known = {frozenset({"a"}): "token-a", frozenset({"b"}): "token-b"}
    routes = [RouteSpec(prefix="/in", domains=[f"{scope}.example.com"], auth="jwt", require=RequireSpec(scopes=[scope])) for scope in "ab"]
    assert [token_for(route, known) for route in routes] == ["token-a", "token-b"]
    assert token_for(RouteSpec(prefix="/in", auth="jwt", require=RequireSpec(scopes=["a"], claims={"role": ["x"]})), known) is None
