"""The stack as it comes up: healthy, idempotent, balanced, and with no trace of the caller's credentials."""

import time
from collections import Counter

import psutil
import pytest

from tests.e2e.driver import REAL_LOOKING, Stack

pytestmark = pytest.mark.e2e


def test_every_machine_is_healthy(stack: Stack) -> None:
    machines = stack.machines()
    print(f"{len(machines)} machines: {Counter(one['role'] for one in machines)}")
    assert {one["health"] for one in machines} == {"healthy"}
    assert len(machines) >= 12


def test_smoke_passes(stack: Stack) -> None:
    done = stack.mesh("smoke")
    assert " 0 failed" in done.stdout


def test_a_second_up_changes_nothing_and_restarts_nothing(stack: Stack) -> None:
    before = {process.pid for process in stack.processes()}
    started = time.monotonic()
    done = stack.mesh("up")
    print(f"up with nothing to do: {time.monotonic() - started:.1f} s")
    assert "0 changes" in done.stderr
    assert {process.pid for process in stack.processes()} == before


@pytest.mark.parametrize("edge", [0, 1])
def test_requests_are_shared_evenly_over_verified_tls(stack: Stack, edge: int) -> None:
    with stack.client(stack.urls[edge]) as client:
        answers = [client.get("/service-1/info") for _ in range(100)]
    assert Counter(answer.status_code for answer in answers) == {200: 100}
    shares = Counter(answer.json()["instance_id"] for answer in answers)
    print(f"edge {edge}: {dict(shares)}")
    assert set(shares) == stack.healthy("service-1")
    assert all(45 <= share <= 55 for share in shares.values())


def test_no_process_of_the_stack_has_the_callers_credentials(stack: Stack) -> None:
    processes = stack.processes()
    assert len(processes) > 20
    for process in processes:
        try:
            environment = process.environ()
        except psutil.NoSuchProcess:
            continue
        leaked = [name for name, value in REAL_LOOKING.items() if value in environment.values()]
        assert not leaked, f"{process.cmdline()} has {leaked}"


def test_a_preview_of_the_running_stack_shows_nothing_to_do(stack: Stack) -> None:
    assert stack.mesh("preview").stdout.startswith("0 changes")


def test_a_machine_shows_its_logs_and_its_envoys_configuration(stack: Stack) -> None:
    machine = next(iter(stack.healthy("service-1")))
    assert "envoy" in stack.mesh("logs", machine).stdout
    assert "ingress" in stack.mesh("config", machine).stdout
    assert "no machine" in stack.mesh("logs", "i-nothing", code=2).stderr
