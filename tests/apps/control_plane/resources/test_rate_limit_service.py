"""A rate limit service of the user's own at a real edge: a small RLS v3 server that limits by what the edge tells it."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from model.contract import Role
from tests.external import Limiter

pytestmark = pytest.mark.envoy

HTTP = {"health": {"path": "/health"}, "port": 9080}


@pytest.fixture
def limiter() -> Iterator[Limiter]:
    limiter = Limiter({"web:/web": 2})
    yield limiter
    limiter.stop()


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


def test_the_service_decides_and_while_it_is_away_requests_pass(lab_with: Any, limiter: Limiter) -> None:
    """Acceptance 73, open."""
    lab = lab_with(limiter.port, domain="shop")
    with lab.client() as client:
        answers = [client.get("/web/x") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert client.get("/other").status_code == 200
        app = lab.apps[lab.endpoints[1].address]
        assert app.count("GET") == 3
        assert limiter.domains == {"shop"}
        source = limiter.asked[0]["remote_address"]
        assert limiter.asked[:3] == [{"remote_address": source}, {"route": "web:/web"}, {"route": "web:/web", "remote_address": source}]
        assert counter(lab, "over_limit") == 1
        lab.wait_for_log(lab.endpoints[0].address, "request_rate_limited")
        limiter.stop()
        assert [client.get("/web").status_code for _ in range(3)] == [200] * 3
        assert counter(lab, "failure_mode_allowed") == 3


def test_a_service_that_is_away_stops_all_requests_where_the_config_says_so(lab_with: Any, limiter: Limiter) -> None:
    """Acceptance 73, closed."""
    lab = lab_with(limiter.port, failOpen=False)
    limiter.stop()
    with lab.client() as client:
        answer: httpx.Response = client.get("/web")
        assert answer.status_code == 500
        assert lab.apps[lab.endpoints[1].address].count("GET") == 0
        assert counter(lab, "error") == 1
        assert counter(lab, "failure_mode_allowed") == 0
