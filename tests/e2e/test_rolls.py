"""Changes that replace machines with addresses of their own: the control planes one after the other, edges before the old ones go."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from model.contract import CONSOLE_PORT, METRICS_PORT
from tests.e2e.driver import Stack, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROLL_SECONDS = 90
LOAD_SECONDS = 60
RECONNECT_SECONDS = 2.0
"""An Envoy whose control plane ends asks the other one within its backoff."""


class Watch:
    """Asks, several times a second, who of the control planes is ready and which Envoys have a stream."""

    def __init__(self, planes: list[str], envoys: list[str]) -> None:
        self.planes, self.envoys = planes, envoys
        self.unserved = 0.0
        """Seconds in which no control plane answered."""
        self.longest: dict[str, float] = dict.fromkeys(envoys, 0.0)
        """Seconds of each Envoy's longest time without a stream."""
        self.rounds = 0
        self._lost: dict[str, float] = {}
        self._end = threading.Event()

    def run(self) -> None:
        with httpx.Client(trust_env=False, timeout=0.5) as client:
            before = time.monotonic()
            while not self._end.wait(0.05):
                now = time.monotonic()
                if not any(text(client, f"http://{plane}:{CONSOLE_PORT}/ready") for plane in self.planes):
                    self.unserved += now - before
                for envoy in self.envoys:
                    stats = text(client, f"http://{envoy}:{METRICS_PORT}/stats/prometheus?filter=control_plane.connected_state")
                    if stats and stats.rstrip().endswith(" 1"):
                        self._lost.pop(envoy, None)
                    else:
                        self.longest[envoy] = max(self.longest[envoy], now - self._lost.setdefault(envoy, now))
                self.rounds += 1
                before = now

    def end(self) -> None:
        self._end.set()


def text(client: httpx.Client, url: str) -> str | None:
    try:
        answer = client.get(url)
    except httpx.TransportError:
        return None
    return answer.text if answer.status_code == 200 else None


@contextmanager
def watching(planes: list[str], envoys: list[str]) -> Iterator[Watch]:
    watch = Watch(planes, envoys)
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        yield watch
    finally:
        watch.end()
        thread.join()


def ids(stack: Stack, role: str) -> set[str]:
    return {one["id"] for one in stack.machines() if one["role"] == role}


def rolled(stack: Stack, role: str, old: set[str]) -> bool:
    """Whether as many machines as before have taken the place of the old ones, and all is well."""
    now = stack.machines()
    new = {one["id"] for one in now if one["role"] == role}
    return len(new) == len(old) and not new & old and {one["health"] for one in now} == {"healthy"}


@pytest.fixture
def rolling(small: Stack) -> Stack:
    """A stack of seven machines that is up: two edges, two control planes, two of a service, monitoring."""
    with small.edited() as mesh:
        mesh["edge"]["instances"] = 2
    small.mesh("up")
    return small


def test_changed_control_planes_are_replaced_while_one_always_serves(rolling: Stack) -> None:
    machines = rolling.machines()
    planes = [one["address"] for one in machines if one["role"] == "control-plane"]
    envoys = [one["address"] for one in machines if one["role"] in ("edge", "service")]
    old = ids(rolling, "control-plane")
    load = rolling.load("/service-1/info", rate=20, seconds=LOAD_SECONDS)
    with rolling.edited() as mesh:
        mesh["machines"] = {"controlPlaneType": "t3.medium"}
    with watching(planes, envoys) as watch:
        started = time.monotonic()
        rolling.mesh("up")
        eventually("both are replaced", lambda: rolled(rolling, "control-plane", old), seconds=ROLL_SECONDS, pause=0.3)
        took = time.monotonic() - started
    print(f"both control planes replaced {took:.1f} s after `up` began; {watch.rounds} rounds of questions")
    print(f"longest time without a stream: {max(watch.longest.values()):.2f} s")
    assert sorted(one["address"] for one in rolling.machines() if one["role"] == "control-plane") == sorted(planes)
    assert watch.rounds > 20
    assert watch.unserved == 0.0
    assert max(watch.longest.values()) < RECONNECT_SECONDS
    assert not load.result()["failures"]
    assert " 0 failed" in rolling.mesh("smoke").stdout
    assert "0 changes" in rolling.mesh("up").stderr


def test_changed_edges_are_replaced_with_no_failed_request_for_clients_that_retry_once(rolling: Stack) -> None:
    """Clients hold connections to both Elastic IPs; those that an old edge ends with are made anew, to its successor."""
    old = ids(rolling, "edge")
    loads = [rolling.load("/service-1/info", rate=20, seconds=LOAD_SECONDS, edge=edge, retry=True) for edge in (0, 1)]
    with rolling.edited() as mesh:
        mesh["edge"]["instanceType"] = "t3.medium"
    started = time.monotonic()
    rolling.mesh("up")
    eventually("both are replaced", lambda: rolled(rolling, "edge", old), seconds=ROLL_SECONDS, pause=0.3)
    print(f"both edges replaced {time.monotonic() - started:.1f} s after `up` began")
    results = [load.result() for load in loads]
    assert [result["failures"] for result in results] == [[], []]
    holders = {one["PublicIp"]: one.get("InstanceId") for one in rolling.aws("ec2").describe_addresses()["Addresses"]}
    assert {holders[address] for address in rolling.outputs()["edgeAddresses"]} == ids(rolling, "edge")
    assert " 0 failed" in rolling.mesh("smoke").stdout
    assert "0 changes" in rolling.mesh("up").stderr
