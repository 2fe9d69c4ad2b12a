"""Zones at real edges and real sidecars: one's own first where a group is large, the others while it has nobody."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from apps.control_plane.model import EndpointState
from model.contract import Role

pytestmark = pytest.mark.envoy

HTTP = {"health": {"path": "/health"}, "port": 9080}
ROUNDS = 90
HEALTH_SECONDS = 5.0

Ask = Callable[[str], list[httpx.Response]]


@pytest.fixture(scope="module")
def lab(spec_of: Any, lab_of: Any) -> Any:
    """In each of two zones an edge, a caller, three machines of `large` and one of `small`; in zone a, `leaving` is draining."""
    callees = ("large", "small", "leaving")
    lab = lab_of(
        spec_of(
            edge={"https": 8443, "http": 8080},
            caller=HTTP | {"calls": list(callees)},
            **{name: HTTP | {"routes": [{"prefix": f"/{name}"}]} for name in callees},
        )
    )
    for zone in "ab":
        lab.add(Role.EDGE, "edge", zone=zone)
        for name in ("caller", "large", "large", "large", "small"):
            lab.add(Role.SERVICE, name, zone=zone)
    lab.add(Role.SERVICE, "leaving", zone="a", state=EndpointState.DRAINING)
    lab.add(Role.SERVICE, "leaving", zone="b")
    lab.start()
    return lab


@pytest.fixture
def callers(lab: Any) -> dict[tuple[str, str], Ask]:
    """(edge or caller, zone) → what it is answered when it asks a service many times."""

    def by_edge(address: str) -> Ask:
        def ask(service: str) -> list[httpx.Response]:
            with lab.client(address) as client:
                return [client.get(f"/{service}") for _ in range(ROUNDS)]

        return ask

    def by_sidecar(address: str) -> Ask:
        def ask(service: str) -> list[httpx.Response]:
            with httpx.Client(base_url=f"http://{address}:15001", headers={"host": service}) as client:
                return [client.get("/") for _ in range(ROUNDS)]

        return ask

    made = {"edge": by_edge, "caller": by_sidecar}
    return {(one.service, one.zone): made[one.service](one.address) for one in lab.endpoints if one.service in made}


def zones_of(lab: Any, answers: list[httpx.Response]) -> Counter[str]:
    """Zones that answered; a request that failed is an error."""
    assert Counter(answer.status_code for answer in answers) == {200: ROUNDS}
    zones = {endpoint.address: endpoint.zone for endpoint in lab.endpoints}
    return Counter(zones[answer.json()["address"]] for answer in answers)


def test_a_small_group_is_asked_evenly_whatever_the_zone(lab: Any, callers: dict[tuple[str, str], Ask]) -> None:
    """Acceptance 9, for groups below six: one machine a zone is no zone's own."""
    assert all(zones_of(lab, ask("small")) == {"a": 45, "b": 45} for ask in callers.values())


def test_a_zone_whose_machines_leave_is_served_by_the_other(lab: Any, callers: dict[tuple[str, str], Ask]) -> None:
    """Acceptance 9."""
    assert all(zones_of(lab, ask("leaving")) == {"b": ROUNDS} for ask in callers.values())


def test_a_large_group_is_asked_in_ones_own_zone_while_that_is_healthy(
    lab: Any, callers: dict[tuple[str, str], Ask], addresses_of: Any
) -> None:
    """Acceptance 9: all of it, exactly even; while its machines are sick by the other zone, with nothing lost; then again."""

    def own_zone() -> bool:
        return all(zones_of(lab, ask("large")) == {zone: ROUNDS} for (_, zone), ask in callers.items())

    assert own_zone()
    for ask in callers.values():
        assert sorted(addresses_of(ask("large")).values()) == [30, 30, 30]
    in_zone_a = [lab.apps[one.address] for one in lab.endpoints if (one.service, one.zone) == ("large", "a")]
    for app in in_zone_a:
        app.sick = True
    wait_for_healthy(lab, 3)
    assert all(zones_of(lab, ask("large")) == {"b": ROUNDS} for ask in callers.values())
    for app in in_zone_a:
        app.sick = False
    wait_for_healthy(lab, 6)
    assert own_zone()


def wait_for_healthy(lab: Any, count: int) -> None:
    """Until every caller has seen that so many machines of `large` are healthy."""
    places = [one.address for one in lab.endpoints if one.service in ("edge", "caller")]
    until = time.monotonic() + HEALTH_SECONDS
    while any(lab.statistics(place)["cluster.large.membership_healthy"] != str(count) for place in places):
        assert time.monotonic() < until, f"not {count} healthy machines within {HEALTH_SECONDS} s"
        time.sleep(0.05)
    time.sleep(0.3)  # Health reaches the workers within the clusters' merge window.
