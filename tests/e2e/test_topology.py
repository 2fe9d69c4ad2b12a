"""Every arrow of the topology: taken through sidecars, closed where `calls` says nothing, scraped, whole again after a loss."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable

import httpx
import psutil
import pytest

from model.contract import ADMIN_PORT
from observability.prometheus import SCRAPE_INTERVAL
from tests.e2e.driver import Stack, eventually
from tests.e2e.sight import addresses, envoy_targets, metrics, requests_in, targets, targets_of, through_sidecar, total

pytestmark = pytest.mark.e2e

ROUNDS = 10
RECOVERY_SECONDS = 30
SCRAPE_SECONDS = float(SCRAPE_INTERVAL.removesuffix("s"))


def ask(stack: Stack, path: str) -> httpx.Response:
    with stack.client(stack.urls[0]) as client:
        return client.get(path)


def works(stack: Stack, path: str) -> Callable[[], bool]:
    return lambda: ask(stack, path).status_code == 200


def program(stack: Stack, machine: str, *words: str) -> psutil.Process:
    """The process of a machine whose command line has all these words."""
    for process in stack.processes():
        try:
            said = " ".join(process.cmdline())
            if machine in " ".join([*process.environ().values(), said, process.cwd()]) and all(word in said for word in words):
                return process
        except psutil.Error:
            continue
    raise AssertionError(f"{machine} runs nothing with {words}")


def sum_over(stack: Stack, service: str, side: str) -> float:
    return sum(requests_in(address, side) for address in addresses(stack, service))


@pytest.mark.parametrize(
    ("path", "caller", "callee"), [("/service-1/chain", "service-1", "service-2"), ("/service-1/grpc", "service-1", "grpc-1")]
)
def test_a_hop_passes_the_callers_egress_and_the_callees_ingress(stack: Stack, path: str, caller: str, callee: str) -> None:
    """The counters move by at least the requests sent: health checks come on top, a bypassed sidecar would show none."""
    before = sum_over(stack, caller, "egress"), sum_over(stack, callee, "ingress")
    with stack.client(stack.urls[0]) as client:
        bodies = [client.get(path).json() for _ in range(ROUNDS)]
    out, into = sum_over(stack, caller, "egress") - before[0], sum_over(stack, callee, "ingress") - before[1]
    print(f"{path}: {ROUNDS} requests, egress of {caller} +{out:.0f}, ingress of {callee} +{into:.0f}")
    assert out == ROUNDS
    assert into >= ROUNDS
    for body in bodies:
        assert [node.split("/")[1] for node in body["via"]] == ["edge", caller]
        assert [node.split("/")[1] for node in body["next"]["via"]] == [caller, callee]
    assert len({body["next"]["instance_id"] for body in bodies}) == 2


@pytest.mark.parametrize(
    ("path", "caller"), [("/service-1/db", "service-1"), ("/service-2/db", "service-2"), ("/service-1/grpc?query=true", "grpc-1")]
)
def test_a_query_passes_the_callers_sidecar_and_the_databases(stack: Stack, path: str, caller: str) -> None:
    """Acceptance 86, 117, 119."""
    (database,) = addresses(stack, "postgres")
    received = "envoy_tcp_downstream_cx_rx_bytes_total"

    def bytes_of(machines: list[str]) -> float:
        return sum(total(address, received, tcp_prefix="postgres") for address in machines)

    before = bytes_of(addresses(stack, caller)), bytes_of([database])
    for _ in range(ROUNDS):
        answer = ask(stack, path)
        assert answer.status_code == 200
        assert "PostgreSQL 18" in answer.text
    moved = bytes_of(addresses(stack, caller)) - before[0], bytes_of([database]) - before[1]
    print(f"{path}: {caller} sent {moved[0]:.0f} bytes, the database's sidecar took {moved[1]:.0f}")
    assert moved[0] > 0
    assert moved[1] >= moved[0]


@pytest.mark.parametrize(("caller", "authority"), [("service-2", "service-1"), ("grpc-1", "service-1"), ("grpc-1", "service-2")])
def test_a_service_outside_of_calls_is_unreachable_from_that_sidecar(stack: Stack, caller: str, authority: str) -> None:
    allowed = through_sidecar(addresses(stack, "service-1")[0], "service-2", "/info")
    assert allowed.status_code == 200
    for address in addresses(stack, caller):
        assert through_sidecar(address, authority, "/info").status_code == 404
        assert through_sidecar(address, f"{authority}.local.mesh.internal", "/info").status_code == 404


def test_routes_name_their_service_and_the_edge_says_what_it_did(stack: Stack) -> None:
    """Acceptance 1, 2, 4."""
    for url in stack.urls:
        with stack.client(url) as client:
            for service in ("service-1", "service-2"):
                answer = client.get(f"/{service}/headers")
                seen = answer.json()["headers"]
                assert answer.json()["service"] == service
                assert answer.headers["server"] == "envoy"
                assert int(answer.headers["x-envoy-upstream-service-time"]) >= 0
                assert seen["x-forwarded-proto"] == "https"
                assert len(seen["x-request-id"]) == 36
                assert seen["x-envoy-expected-rq-timeout-ms"] == "15000"
            missing = client.get("/nothing-here")
            assert (missing.status_code, missing.content) == (404, b"")


def test_every_envoy_is_live_and_has_the_series_that_dashboards_need(stack: Stack) -> None:
    """Acceptance 5, 159."""
    for machine in stack.machines():
        if machine["role"] not in ("edge", "outer-edge", "service", "database"):
            continue
        text = metrics(machine["address"])
        assert "envoy_server_live{} 1" in text
        assert "envoy_cluster_membership_healthy{" in text
        if machine["role"] != "database":
            assert 'envoy_http_downstream_rq_xx{envoy_response_code_class="2",envoy_http_conn_manager_prefix=' in text
            assert 'envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name=' in text
        info = httpx.get(f"http://{machine['address']}:{ADMIN_PORT}/server_info", trust_env=False).json()
        assert info["state"] == "LIVE"


def test_a_replica_that_hangs_leaves_the_rotation_and_comes_back(stack: Stack) -> None:
    """Acceptance 12."""
    machine = next(one for one in stack.machines() if one["service"] == "service-2" and one["health"] == "healthy")
    edge = addresses(stack, "edge")[0]

    def flags() -> str:
        text = httpx.get(f"http://{edge}:{ADMIN_PORT}/clusters", trust_env=False).text
        (line,) = [one for one in text.splitlines() if one.startswith(f"service-2::{machine['address']}:8000::health_flags::")]
        return line.rsplit("::", 1)[1]

    app = program(stack, machine["id"], "apps.http_service")
    app.send_signal(signal.SIGSTOP)
    try:
        took = eventually("the edge sees the failed check", lambda: "/failed_active_hc" in flags(), seconds=5)
    finally:
        app.send_signal(signal.SIGCONT)
    back = eventually("the edge sees it healthy", lambda: flags() == "healthy", seconds=5)
    print(f"out after {took:.2f} s, back after {back:.2f} s")


def test_prometheus_sees_every_envoy_control_plane_and_app(stack: Stack) -> None:
    """Acceptance 160."""

    def all_up() -> bool:
        seen = targets(stack)
        wanted = envoy_targets(stack.machines())
        return wanted <= {url for url, health in seen.items() if health == "up"} and set(seen.values()) == {"up"}

    took = eventually("all targets are up", all_up, seconds=40, pause=1)
    jobs = [url.rsplit(":", 1)[1] for url in targets(stack)]
    print(f"{len(jobs)} targets up after {took:.0f} s: {sorted(jobs)}")
    assert sum(job.startswith("18001") for job in jobs) == 2


@pytest.mark.slow
@pytest.mark.parametrize("service", ["service-2", "edge"])
def test_an_envoy_that_hangs_is_down_within_two_scrapes_and_up_again_when_it_goes_on(stack: Stack, service: str) -> None:
    """Acceptance 160. A killed one is started again within a scrape, so the one here is stopped."""
    machine = next(one for one in stack.machines() if one["service"] == service)
    (url,) = envoy_targets([machine])
    (monitor,) = addresses(stack, "monitoring")

    def health() -> str:
        return targets_of(monitor)[url]

    assert health() == "up"
    envoy = program(stack, machine["id"], "--disable-hot-restart")
    envoy.send_signal(signal.SIGSTOP)
    try:
        took = eventually("the target is down", lambda: health() == "down", seconds=2 * SCRAPE_SECONDS)
    finally:
        envoy.send_signal(signal.SIGCONT)
    back = eventually("the target is up", lambda: health() == "up", seconds=2 * SCRAPE_SECONDS)
    print(f"{service}: down after {took:.1f} s, up again after {back:.1f} s")
    eventually("the machine is healthy", lambda: machine["id"] in stack.healthy(service), seconds=RECOVERY_SECONDS, pause=0.5)


@pytest.mark.slow
def test_a_group_scales_to_five_and_back_without_a_lost_request(stack: Stack) -> None:
    """Acceptance 3, 5, 130, 160."""
    group, scaling = stack.outputs()["services"]["service-2"]["group"], stack.aws("autoscaling")
    load = stack.load("/service-2/info", rate=50, seconds=45)
    started = time.monotonic()
    scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=5)
    grown = eventually("five machines are healthy", lambda: len(stack.healthy("service-2")) == 5, seconds=30, pause=0.2)

    def shared() -> bool:
        with stack.client(stack.urls[0]) as client:
            return len({client.get("/service-2/info").json()["instance_id"] for _ in range(20)}) == 5

    balanced = eventually("all five answer", shared, seconds=15)
    edge = addresses(stack, "edge")[0]
    assert total(edge, "envoy_cluster_membership_total", cluster_name="service-2") == 5
    wanted = envoy_targets(one for one in stack.machines() if one["service"] == "service-2")
    scraped = eventually("all five are scraped", lambda: all(targets(stack).get(url) == "up" for url in wanted), seconds=25, pause=0.5)
    gone = wanted - envoy_targets(())
    scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=2)
    shrunk = eventually("two machines are left", lambda: len(stack.healthy("service-2")) == 2, seconds=25, pause=0.2)
    result = load.result()
    left = envoy_targets(one for one in stack.machines() if one["service"] == "service-2")
    down = eventually(
        "the others are scraped no more", lambda: not [u for u in gone - left if targets(stack).get(u) == "up"], seconds=25, pause=0.5
    )
    print(
        f"healthy {grown:.1f} s, balanced +{balanced:.1f} s, scraped +{scraped:.1f} s, back to 2 {shrunk:.1f} s, target down +{down:.1f} s"
    )
    print(f"all of it in {time.monotonic() - started:.0f} s")
    assert not result["failures"]
    assert result["sent"] == result["statuses"]["200"]


@pytest.mark.slow
def test_a_large_group_is_asked_in_ones_own_zone(stack: Stack, urls: list[str]) -> None:
    """Acceptance 9, at both edges and at both sidecars that call the group: all of it, while each zone has its share."""
    group, scaling = stack.outputs()["services"]["service-2"]["group"], stack.aws("autoscaling")
    scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=6)
    try:
        eventually("six machines are healthy", lambda: len(stack.healthy("service-2")) == 6, seconds=40, pause=0.5)
        machines = stack.machines()
        zones = {one["id"]: one["zone"] for one in machines}
        spread = Counter(one["zone"] for one in machines if one["service"] == "service-2")
        assert sorted(spread.values()) == [3, 3]

        def by_edge(url: str) -> Counter[bool]:
            with stack.client(url) as client:
                answers = [client.get("/service-2/info").json() for _ in range(ROUNDS)]
            return Counter(answer["zone"] == zones[answer["via"][0].rpartition("/")[2]] for answer in answers)

        def by_sidecar(caller: dict[str, str]) -> Counter[bool]:
            return Counter(through_sidecar(caller["address"], "service-2", "/info").json()["zone"] == caller["zone"] for _ in range(ROUNDS))

        callers = [one for one in machines if one["service"] == "service-1"]
        for url in urls:
            eventually("the edge asks its own zone", lambda url=url: by_edge(url) == {True: ROUNDS}, seconds=10)  # type: ignore[misc]
        for caller in callers:
            eventually("the sidecar asks its own zone", lambda caller=caller: by_sidecar(caller) == {True: ROUNDS}, seconds=10)  # type: ignore[misc]
    finally:
        scaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=2)
    eventually("two machines are left", lambda: len(stack.healthy("service-2")) == 2, seconds=40, pause=0.5)


def test_the_database_may_restart(stack: Stack) -> None:
    """A killed Postgres comes back with its data, and pooled clients with it."""
    machine = next(one for one in stack.machines() if one["service"] == "postgres")
    assert ask(stack, "/service-1/db").status_code == 200
    os.kill(program(stack, machine["id"], "bin/postgres", "-D").pid, signal.SIGINT)
    took = eventually("queries work again", works(stack, "/service-1/db"), seconds=RECOVERY_SECONDS)
    print(f"database: whole again {took:.1f} s after its postmaster was stopped")
    eventually("the machine is healthy", lambda: bool(stack.healthy("postgres")), seconds=RECOVERY_SECONDS, pause=0.3)


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1])
def test_a_control_plane_may_die_without_a_lost_request(stack: Stack, index: int) -> None:
    """Acceptance 123: Envoys keep what they have, and the other one goes on serving."""
    machine = [one for one in stack.machines() if one["role"] == "control-plane"][index]
    load = stack.load("/service-1/info", rate=50, seconds=6)
    os.kill(program(stack, machine["id"], "-m apps.control_plane").pid, signal.SIGKILL)
    time.sleep(0.5)
    took = eventually("both are healthy", lambda: len(stack.healthy("control-plane")) == 2, seconds=RECOVERY_SECONDS, pause=0.2)
    result = load.result()
    print(f"control plane {index}: healthy again after {took + 0.5:.1f} s")
    assert not result["failures"]
    edges = addresses(stack, "edge")
    eventually(
        "every edge has its stream", lambda: all(total(one, "envoy_control_plane_connected_state") >= 1 for one in edges), seconds=10
    )


@pytest.mark.slow
@pytest.mark.parametrize("service", ["service-1", "service-2", "grpc-1"])
def test_a_terminated_machine_of_a_group_is_replaced_without_a_human(stack: Stack, service: str) -> None:
    before = stack.healthy(service)
    victim = sorted(before)[0]
    stack.aws("ec2").terminate_instances(InstanceIds=[victim])
    took = eventually("the group is whole", lambda: len(stack.healthy(service) - {victim}) == 2, seconds=RECOVERY_SECONDS, pause=0.2)
    print(f"{service}: whole again {took:.1f} s after {victim} was terminated")
    for path in ("/service-1/chain", "/service-1/grpc", "/service-2/db"):
        eventually(f"{path} works", works(stack, path), seconds=5)
