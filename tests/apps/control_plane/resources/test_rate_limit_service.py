"""A rate limit service of the user's own at a real edge: a small RLS v3 server that limits by what the edge tells it."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx
import pytest
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse
from envoy.service.ratelimit.v3.rls_pb2_grpc import RateLimitServiceServicer, add_RateLimitServiceServicer_to_server

from model.contract import Role

pytestmark = pytest.mark.envoy

HTTP = {"health": {"path": "/health"}, "port": 9080}
LIMIT = 2


class Limiter(RateLimitServiceServicer):  # type: ignore[misc]
    """Lets each route have two requests; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.domains: set[str] = set()
        self._used: Counter[str] = Counter()

    def ShouldRateLimit(self, request: RateLimitRequest, context: grpc.ServicerContext) -> RateLimitResponse:
        self.domains.add(request.domain)
        descriptors = [{entry.key: entry.value for entry in descriptor.entries} for descriptor in request.descriptors]
        self.asked.extend(descriptors)
        code = RateLimitResponse.OK
        for descriptor in descriptors:
            if set(descriptor) == {"route"}:
                self._used[descriptor["route"]] += 1
                if self._used[descriptor["route"]] > LIMIT:
                    code = RateLimitResponse.OVER_LIMIT
        return RateLimitResponse(overall_code=code)


@pytest.fixture
def limiter() -> Iterator[tuple[Limiter, int, Callable[[], None]]]:
    servicer, server = Limiter(), grpc.server(ThreadPoolExecutor(2))
    add_RateLimitServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, port, lambda: server.stop(0).wait(5) and None
    server.stop(0)


@pytest.fixture
def lab_with(spec_of: Any, lab_of: Any) -> Callable[..., Any]:
    def make(port: int, **service: Any) -> Any:
        edge = {"https": 8443, "http": 8080, "rateLimitService": {"address": f"127.0.0.1:{port}", **service}}
        lab = lab_of(spec_of(edge=edge, web=HTTP | {"routes": [{"prefix": "/web"}, {"prefix": "/other"}]}))
        lab.add(Role.EDGE, "edge")
        lab.add(Role.SERVICE, "web")
        lab.start()
        return lab

    return make


def counter(lab: Any, name: str) -> int:
    return int(lab.statistics(lab.endpoints[0].address).get(f"cluster.web.ratelimit.{name}", "0"))


def test_the_service_decides_and_while_it_is_away_requests_pass(lab_with: Any, limiter: Any) -> None:
    """73, open."""
    servicer, port, stop = limiter
    lab = lab_with(port, domain="shop")
    with lab.client() as client:
        answers = [client.get("/web/x") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert client.get("/other").status_code == 200
        app = lab.apps[lab.endpoints[1].address]
        assert app.count("GET") == 3
        assert servicer.domains == {"shop"}
        source = servicer.asked[0]["remote_address"]
        assert servicer.asked[:3] == [{"remote_address": source}, {"route": "web:/web"}, {"route": "web:/web", "remote_address": source}]
        assert counter(lab, "over_limit") == 1
        lab.wait_for_log(lab.endpoints[0].address, "request_rate_limited")
        stop()
        assert [client.get("/web").status_code for _ in range(3)] == [200] * 3
        assert counter(lab, "failure_mode_allowed") == 3


def test_a_service_that_is_away_stops_all_requests_where_the_config_says_so(lab_with: Any, limiter: Any) -> None:
    """73, closed."""
    _, port, stop = limiter
    lab = lab_with(port, failOpen=False)
    stop()
    with lab.client() as client:
        answer: httpx.Response = client.get("/web")
        assert answer.status_code == 500
        assert lab.apps[lab.endpoints[1].address].count("GET") == 0
        assert counter(lab, "error") == 1
        assert counter(lab, "failure_mode_allowed") == 0
