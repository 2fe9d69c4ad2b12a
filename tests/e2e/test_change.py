"""What changes under traffic: a route, a group's size, a terminated machine, a new service. Every run prints its numbers."""

import re
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.e2e.driver import Stack, eventually
from tests.e2e.sight import statistics

pytestmark = pytest.mark.e2e

LIVE_SECONDS = 2.0
"""From the end of `up` to a changed route on every edge."""
TRAFFIC_SECONDS = 4.0
"""From a machine's end to the first answer of the one that takes its place."""
JOURNAL = Path(__file__).with_name("journal_app.py")
README = Path(__file__).resolve().parents[2] / "README.md"


def test_a_changed_route_is_live_on_every_edge_and_no_request_fails(stack: Stack) -> None:
    before = {one["id"] for one in stack.machines()}
    load = stack.load("/service-1/info", rate=50, seconds=30)
    with stack.edited() as mesh:
        mesh["services"]["service-2"]["routes"].append({"prefix": "/moved"})
    done = stack.mesh("up")
    clients = [stack.client(url) for url in stack.urls]
    took = eventually(
        "/moved answers at every edge", lambda: all(one.get("/moved/info").status_code == 200 for one in clients), seconds=LIVE_SECONDS
    )
    print(f"route live {took:.2f} s after up; {next(line for line in done.stderr.splitlines() if 'deploy' in line)}")
    assert "1 updated" in done.stderr
    assert {one["id"] for one in stack.machines()} == before
    with stack.edited() as mesh:
        mesh["services"]["service-2"]["routes"].pop()
    stack.mesh("up")
    took = eventually(
        "/moved is gone from every edge", lambda: all(one.get("/moved/info").status_code == 404 for one in clients), seconds=LIVE_SECONDS
    )
    print(f"route gone {took:.2f} s after up")
    assert load.result()["failed"] == 0


def group_of(stack: Stack, service: str) -> str:
    group: str = stack.outputs()["services"][service]["group"]
    return group


def answers(stack: Stack, url: str, count: int) -> Counter[str]:
    """How many of so many requests each machine answered; the edge's worker takes them over one connection."""
    with stack.client(url) as client:
        return Counter(client.get("/service-1/info").json()["instance_id"] for _ in range(count))


def over_connections(stack: Stack, url: str, count: int) -> Counter[str]:
    """The same over ten connections, which the edge's workers share."""
    return sum((answers(stack, url, count // 10) for _ in range(10)), Counter())


def test_a_group_scales_out_and_in_with_no_failed_request(stack: Stack, urls: list[str], edges: list[str]) -> None:
    """Acceptance 3, 5."""
    autoscaling, group, before = stack.aws("autoscaling"), group_of(stack, "service-1"), stack.healthy("service-1")
    load = stack.load("/service-1/info", rate=50, seconds=25)
    uptimes = [statistics(edge)["server.uptime"] for edge in edges]
    autoscaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=3)
    took = eventually("three machines answer at every edge", lambda: all(len(answers(stack, url, 12)) == 3 for url in urls), seconds=15)
    print(f"a third machine answers after {took:.1f} s")
    for edge, uptime in zip(edges, uptimes, strict=True):
        seen = statistics(edge)
        assert (seen["cluster.service-1.membership_total"], seen["server.hot_restart_epoch"]) == (3, 0)
        assert seen["server.uptime"] >= uptime, "the edge was restarted"
    shares = over_connections(stack, urls[1], 150)
    assert set(shares) > before
    assert all(40 <= share <= 60 for share in shares.values()), shares
    autoscaling.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=2)
    took = eventually("two machines answer", lambda: all(len(answers(stack, url, 12)) == 2 for url in urls), seconds=20)
    print(f"one machine fewer answers after {took:.1f} s")
    result = load.result()
    assert result["failed"] == 0
    assert len(result["instances"]) == 3
    eventually("the other is gone", lambda: len(stack.healthy("service-1")) == 2, seconds=20)


@pytest.mark.parametrize("rate", [50, 800])
def test_a_terminated_machine_is_replaced_with_no_failed_request(stack: Stack, rate: int) -> None:
    ec2, before = stack.aws("ec2"), stack.healthy("service-1")
    load = stack.load("/service-1/info", rate=rate, seconds=12)
    time.sleep(3)
    terminated = time.time()
    ec2.terminate_instances(InstanceIds=[min(before)])
    result = load.result()
    new = set(result["instances"]) - before
    assert result["failed"] == 0
    assert len(new) == 1
    took = result["first_seen"][new.pop()] - terminated
    print(f"terminated under {rate} requests/s: the new machine's first answer after {took:.1f} s")
    assert took < TRAFFIC_SECONDS
    eventually("two healthy machines", lambda: len(stack.healthy("service-1")) == 2, seconds=20)


def test_new_services_join_and_touch_no_other_machine(stack: Stack, tmp_path: Path) -> None:
    """httpbin, as the README adds it, is on PyPI and nobody here wrote it; the journal writes down what reaches it."""
    before = {one["id"] for one in stack.machines()}
    journal = tmp_path / "journal"
    command = f"python {JOURNAL} --host {{host}} --port {{port}} --journal {journal}"
    example = readme_example()
    print(f"httpbin: {len(example.splitlines())} lines of config")
    assert len(example.splitlines()) <= 6
    with stack.edited() as mesh:
        mesh["services"].update(yaml.safe_load(example))
        mesh["services"]["journal"] = {
            "image": {"ref": "none/journal:1", "local": {"command": command}},
            "port": 8080,
            "routes": [{"prefix": "/journal"}],
        }
    started = time.monotonic()
    stack.mesh("up")
    print(f"up with two more services: {time.monotonic() - started:.1f} s")
    assert before <= {one["id"] for one in stack.machines()}
    with stack.client(stack.urls[0]) as client:
        answer = client.get("/httpbin/get", params={"a": "b"})
        assert answer.status_code == 200
        assert answer.json()["args"] == {"a": "b"}

    ids = stack.healthy("journal")
    load = stack.load("/journal/", rate=40, seconds=12, method="POST")
    time.sleep(3)
    stack.aws("ec2").terminate_instances(InstanceIds=[min(ids)])
    result = load.result()
    arrived = journal.read_text().split()
    twice = len(arrived) - len(set(arrived))
    print(f"POST: {result['sent']} sent, {len(arrived)} reached an app, {twice} twice, {result['failed']} failed")
    assert twice == 0
    assert set(result["answered"]) <= set(arrived)
    assert result["sent"] - result["failed"] == len(result["answered"])


def readme_example() -> str:
    """The lines that README.md adds to a stack's services."""
    found = re.search(r"```yaml\n( *httpbin:\n.*?)```", README.read_text(), re.DOTALL)
    assert found, "README.md has no example that adds httpbin"
    return textwrap.dedent(found[1])
