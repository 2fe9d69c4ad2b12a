"""The supervisor of a stack: quick to start, quiet, outliving commands, and gone without a trace when it dies."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from datetime import timedelta
from typing import Any

import psutil
import pytest

from local.machines.records import start_ticks
from local.stacks import StackState, free_range, take_range
from local.supervisor.client import SupervisorError, connect, kill_leftovers, start_or_connect
from local.supervisor.identity import read_identity

pytestmark = pytest.mark.components

REGION = "eu-central-1"
PATIENCE = timedelta(seconds=20)


def until_gone(stack: Any, seconds: float) -> float:
    began = time.monotonic()
    while stack.processes():
        assert time.monotonic() - began < seconds, stack.processes()
        time.sleep(0.02)
    return time.monotonic() - began


def test_a_supervisor_starts_quickly_serves_and_stops_leaving_no_process(stack: Any) -> None:
    began = time.monotonic()
    client = stack.start()
    print(f"supervisor answers after {time.monotonic() - began:.2f} s")
    status = client.status()
    assert (status.machines, status.region, status.cidr) == ((), REGION, str(stack.cidr))
    assert stack.start().status().boot_id == status.boot_id
    assert os.getsid(status.pid) == status.pid
    client.stop()
    assert connect(stack.state) is None
    assert stack.processes() == []
    with pytest.raises(SupervisorError, match="does not answer"):
        client.status()


def test_instances_become_machines_and_end_with_their_instance(stack: Any) -> None:
    identities = stack.launch(2)
    *_, status = stack.start().follow(PATIENCE)
    assert sorted(one.id for one in status.machines) == sorted(identities)
    assert {one.health for one in status.machines} == {"healthy"}
    for machine in status.machines:
        assert urllib.request.urlopen(f"http://{machine.address}:8080/").status == 200
    client = stack.start()
    assert client.logs(identities[0])["web"].exists()
    with pytest.raises(SupervisorError, match="there is no machine i-nosuch"):
        client.logs("i-nosuch")
    (gone,) = [one for one in status.machines if one.id == identities[0]]
    stack.ec2().terminate_instances(InstanceIds=[gone.id])
    status = client.wait(PATIENCE)
    assert [one.id for one in status.machines] == [identities[1]]


def test_waiting_returns_at_once_when_settled_and_at_the_limit_when_nothing_changes(stack: Any) -> None:
    client = stack.start()
    status = client.wait(PATIENCE)
    began = time.monotonic()
    assert client.wait(timedelta(seconds=0.3), version=status.version).version == status.version
    assert 0.25 < time.monotonic() - began < 2


def test_machines_die_with_a_killed_supervisor_and_the_next_start_is_clean(stack: Any) -> None:
    stack.launch(2)
    *_, status = stack.start().follow(PATIENCE)
    os.kill(status.pid, signal.SIGKILL)
    print(f"machines of a killed supervisor are gone after {until_gone(stack, 2):.2f} s")
    assert connect(stack.state) is None
    again = stack.start().status()
    assert again.boot_id != status.boot_id
    assert again.machines == ()


def test_leftovers_are_ended_by_pid_and_start_time_and_a_reused_pid_is_spared(stack: Any) -> None:
    """As if the kernel had not ended a machine's process with the supervisor, and another record's pid were somebody else's by now."""
    state = stack.state
    state.processes.mkdir(parents=True)
    environment = {**os.environ, "MESH_ROOT": str(state.machines / "i-left" / "root")}
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    left = subprocess.Popen(command, start_new_session=True, env=environment)
    other = subprocess.Popen(command, start_new_session=True)
    (state.processes / str(left.pid)).write_text(f"{start_ticks(left.pid)} i-left web\n")
    (state.processes / str(other.pid)).write_text(f"{(start_ticks(other.pid) or 0) - 1} i-left app\n")
    try:
        ended = kill_leftovers(state)
        assert [(one.pid, one.service) for one in ended] == [(left.pid, "web")]
        assert left.wait(2) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for process in (left, other):
            process.kill()
            process.wait()
    assert list(state.processes.iterdir()) == []


def test_an_orphan_of_a_dead_leader_is_ended_too(stack: Any) -> None:
    state = stack.state
    state.processes.mkdir(parents=True)
    environment = {**os.environ, "MESH_ROOT": str(state.machines / "i-left" / "root")}
    leader = subprocess.Popen(["sh", "-c", "sleep 60 & sleep 60"], start_new_session=True, env=environment)
    (state.processes / str(leader.pid)).write_text(f"{start_ticks(leader.pid)} i-left web\n")
    while len(psutil.Process(leader.pid).children()) < 2:
        time.sleep(0.01)
    leader.kill()
    leader.wait()
    assert len(stack.processes()) == 2
    kill_leftovers(state)
    until_gone(stack, 2)


def test_sigterm_ends_the_machines_and_then_the_cloud(stack: Any) -> None:
    stack.launch(1)
    *_, status = stack.start().follow(PATIENCE)
    os.kill(status.pid, signal.SIGTERM)
    print(f"a supervisor with one machine ends within {until_gone(stack, 5):.2f} s")
    assert read_identity(stack.state) is None
    assert list(stack.state.machines.glob("*/root")) == []


def test_a_second_supervisor_of_a_stack_and_another_range_are_refused(stack: Any) -> None:
    stack.start()
    words = [sys.executable, "-m", "local.supervisor", "--state", str(stack.state.root), "--region", REGION, "--cidr", str(stack.cidr)]
    second = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)
    assert second.returncode == 1
    assert "another supervisor runs for" in second.stderr
    with pytest.raises(SupervisorError, match="not in us-east-1 with"):
        start_or_connect(stack.state, region="us-east-1", cidr=stack.cidr)


def test_two_stacks_run_at_once(stack: Any, tmp_path: Any) -> None:
    other = StackState(tmp_path / "other")
    cidr = take_range(other)
    try:
        assert not cidr.overlaps(stack.cidr)
        first, second = stack.start(), start_or_connect(other, region=REGION, cidr=cidr)
        assert first.status().cloud_url != second.status().cloud_url
        second.stop()
        assert first.status().machines == ()
    finally:
        free_range(other)


def test_an_idle_supervisor_costs_next_to_nothing(stack: Any) -> None:
    stack.launch(4)
    *_, status = stack.start().follow(PATIENCE)
    time.sleep(1)
    process = psutil.Process(status.pid)
    before = sum(process.cpu_times()[:2])
    time.sleep(5)
    share = (sum(process.cpu_times()[:2]) - before) / 5
    print(f"an idle supervisor with 4 machines takes {share:.1%} of a core")
    assert share < 0.03
