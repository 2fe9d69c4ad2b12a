"""What smoke makes of an edge's answers: at a domain, of limits that refuse, of instances that take turns, of an authorizer."""

import asyncio
from itertools import cycle

import httpx
import pytest

from cli.finding import Finding
from cli.smoke_authorizer import asked
from cli.smoke_balance import balanced
from cli.smoke_door import PATIENCE_SECONDS, Door, status
from cli.smoke_protection import strict_transport
from cli.smoke_routes import body_of
from model.edge import AuthorizerSpec, EdgeSpec, RouteSpec, TlsSpec
from model.spec import ServiceSpec
from tests.cli.fake_edge import Bucket, FakeEdge, sample

HSTS = {"strict-transport-security": "max-age=2592000"}
AUTHORIZER = AuthorizerSpec(address="authz.example.com:9000")


def one(door: Door) -> Finding:
    return asyncio.run(door.finding("a path", "200", "/a", status))


def turns(door: Door, instances: set[str]) -> Finding:
    return asyncio.run(balanced(door, "a path", "/a", instances, lambda answer: body_of(answer).get("instance_id", "?")))


def decided(door: Door, build: str, authorizer: AuthorizerSpec = AUTHORIZER) -> Finding:
    service = ServiceSpec.model_validate({"protocol": "http", "port": 8080, "image": {"build": build}})
    return asyncio.run(asked(door, authorizer, "a path", service, RouteSpec(prefix="/a", authorize=True), {}))


def test_a_route_of_a_domain_is_asked_at_that_domain_by_the_address_of_the_edge() -> None:
    edge = FakeEdge(lambda request: httpx.Response(200 if request.headers["host"] == "a.example.com:8443" else 404))
    door = edge.door(domain="a.example.com")
    assert one(door).ok is True
    assert door.name("/a") == "a.example.com/a"
    (request,) = edge.asked
    assert (request.url.host, request.extensions["sni_hostname"]) == ("127.0.0.9", "a.example.com")
    assert one(edge.door()).seen == "404"


def test_a_request_that_a_limit_refuses_for_a_moment_is_asked_again_and_says_so() -> None:
    bucket = Bucket(0, back=1)
    found = one(FakeEdge(lambda request: bucket.take(httpx.Response(200))).door(limited=True))
    assert (found.ok, found.seen) == (True, "200, after 0.25 s for a limit")


def test_a_limit_that_refuses_for_long_is_not_exercised_and_asked_but_once() -> None:
    bucket = Bucket(0, reset=int(PATIENCE_SECONDS) + 1)
    edge = FakeEdge(lambda request: bucket.take(httpx.Response(200)))
    found = one(edge.door(limited=True))
    assert (found.ok, found.seen, len(edge.asked)) == (None, "429 of the limit 0, again in 3 s", 1)


def test_the_limit_of_all_edges_is_named_though_it_refuses_with_tokens_left() -> None:
    headers = [("x-local-rate-limit", "true"), ("x-ratelimit-reset", "9")]
    headers += [("x-ratelimit-limit", "8"), ("x-ratelimit-remaining", "1"), ("x-ratelimit-limit", "200"), ("x-ratelimit-remaining", "9")]
    found = one(FakeEdge(lambda request: httpx.Response(429, headers=headers)).door(limited=True))
    assert found.seen == "429 of the limit 8, again in 9 s"


def test_a_429_of_the_rate_limit_service_is_not_waited_for() -> None:
    found = one(FakeEdge(lambda request: httpx.Response(429, headers={"x-envoy-ratelimited": "true"})).door(limited=True))
    assert (found.ok, found.seen) == (None, "429 of the rate limit service")


def test_a_429_that_no_limit_of_the_stack_explains_has_failed() -> None:
    bucket = Bucket(0)
    assert one(FakeEdge(lambda request: bucket.take(httpx.Response(200))).door(limited=False)).ok is False
    assert one(FakeEdge(lambda request: httpx.Response(429)).door(limited=True)).ok is False


def test_a_limited_route_is_asked_no_more_than_it_takes_to_meet_each_instance() -> None:
    names = cycle(["i-1", "i-2"])
    edge = FakeEdge(lambda request: sample(next(names)))
    assert turns(edge.door(limited=True), {"i-1", "i-2"}).seen == "2 × 200, 2 instances"
    assert turns(edge.door(), {"i-1", "i-2"}).seen == "8 × 200, 2 instances"


def test_what_a_limit_leaves_of_the_turns_is_judged() -> None:
    bucket = Bucket(3, reset=4)
    found = turns(FakeEdge(lambda request: bucket.take(sample("i-1"))).door(limited=True), {"i-1", "i-2"})
    assert (found.ok, found.seen) == (True, "3 × 200, 1 instances, then 429 of the limit 3, again in 4 s")
    spent = turns(FakeEdge(lambda request: bucket.take(sample("i-1"))).door(limited=True), {"i-1", "i-2"})
    assert (spent.ok, spent.seen) == (None, "429 of the limit 3, again in 4 s")
    other = Bucket(3, reset=4)
    assert turns(FakeEdge(lambda request: other.take(sample("i-9"))).door(limited=True), {"i-1", "i-2"}).ok is False


def test_an_instance_that_never_answers_or_an_error_between_fails_a_route_without_limits() -> None:
    assert turns(FakeEdge(lambda request: sample("i-1")).door(), {"i-1", "i-2"}).ok is False
    answers = iter([*[sample("i-1")] * 3, httpx.Response(503)])
    found = turns(FakeEdge(lambda request: next(answers)).door(), {"i-1"})
    assert (found.ok, found.seen) == (False, "3 × 200, 1 × 503, 1 instances")


@pytest.mark.parametrize(
    ("answer", "ok", "seen"),
    [
        (sample("i-1"), True, "200, allowed by it"),
        (httpx.Response(403), True, "403, refused by it"),
        (httpx.Response(302, headers={"location": "https://login.example.com"}), True, "302, refused by it"),
        (httpx.Response(503), False, "503: authz.example.com:9000 is away, slower than 0.5 s, or says so itself"),
    ],
)
def test_the_authorizers_decision_is_seen_of_a_sample(answer: httpx.Response, ok: bool, seen: str) -> None:
    edge = FakeEdge(lambda request: answer)
    found = decided(edge.door(), "apps/http_service")
    assert (found.ok, found.seen, edge.asked[0].url.path) == (ok, seen, "/a/info")


def test_of_another_image_it_is_said_who_may_have_refused() -> None:
    assert decided(FakeEdge(lambda request: httpx.Response(404)).door(), "apps/mine").seen == "404, refused by it, or by the service"
    forgiving = AUTHORIZER.model_copy(update={"fail_open": True})
    found = decided(FakeEdge(lambda request: httpx.Response(200)).door(), "apps/mine", forgiving)
    assert found.seen == "200, allowed by it, or in its absence (failOpen)"


def test_hsts_is_looked_for_where_it_is_turned_on() -> None:
    config = EdgeSpec(tls=TlsSpec(hsts="30d"))
    silent, saying = (FakeEdge(lambda request, headers=headers: httpx.Response(404, headers=headers)) for headers in ({}, HSTS))
    assert [one.ok for one in asyncio.run(strict_transport(saying.door(), "/none", config))] == [True]
    assert [one.ok for one in asyncio.run(strict_transport(silent.door(), "/none", config))] == [False]
    assert asyncio.run(strict_transport(silent.door(), "/none", EdgeSpec())) == []
