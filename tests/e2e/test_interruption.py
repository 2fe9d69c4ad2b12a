"""What is interrupted or killed, and how the next command finishes or cleans it; on small stacks of their own."""

import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.driver import Stack, eventually

pytestmark = pytest.mark.e2e


def in_progress(stack: Stack) -> bool:
    """Whether an engine has made some of the stack's machines, but not all is done."""
    log = stack.state / "engine.log"
    return log.exists() and "aws:ec2:Subnet" in log.read_text()


def engine_of(stack: Stack) -> psutil.Process:
    return next(process for process in stack.processes() if process.name() == "pulumi")


def whole(stack: Stack) -> None:
    """The stack is up, and nothing is left to do."""
    assert {one["health"] for one in stack.machines()} == {"healthy"}
    with stack.client(stack.urls[0]) as client:
        assert client.get("/service-1/info").status_code == 200
    assert "0 changes" in stack.mesh("up").stderr


@pytest.mark.slow
def test_ctrl_c_ends_in_order_and_the_next_up_finishes(small: Stack) -> None:
    running = small.start("up")
    eventually("the engine works", lambda: in_progress(small), seconds=60)
    running.send_signal(signal.SIGINT)
    text, _ = running.communicate(timeout=60)
    assert running.returncode == 130, text
    assert f"interrupted; the state is kept, `./mesh up --state {small.state}` goes on from here." in text
    assert not [process for process in small.processes() if process.name() == "pulumi"]
    small.mesh("up")
    whole(small)


@pytest.mark.slow
def test_a_killed_engine_is_told_and_the_next_up_finishes(small: Stack) -> None:
    running = small.start("up")
    eventually("the engine works", lambda: in_progress(small), seconds=60)
    engine_of(small).kill()
    text, _ = running.communicate(timeout=60)
    assert running.returncode == 1, text
    small.mesh("up")
    whole(small)
    with small.edited() as mesh:
        mesh["services"]["service-3"] = {**mesh["services"]["service-1"], "routes": [{"prefix": "/service-3"}]}
    running = small.start("up")
    log = small.state / "engine.log"
    eventually("the engine makes the new group", lambda: "service-3-profile" in log.read_text(), seconds=60)
    engine_of(small).kill()
    running.communicate(timeout=60)
    small.mesh("up")
    assert len(small.healthy("service-3")) == 2
    whole(small)


@pytest.mark.slow
def test_a_killed_command_leaves_an_engine_that_the_next_up_waits_for(small: Stack) -> None:
    running = small.start("up")
    eventually("the engine works", lambda: in_progress(small), seconds=60)
    running.kill()
    running.communicate(timeout=60)
    small.mesh("up")
    whole(small)


@pytest.mark.slow
def test_a_killed_supervisor_is_repaired_by_up(small: Stack) -> None:
    small.mesh("up")
    supervisor = next(process for process in small.processes() if "local.supervisor" in process.cmdline())
    supervisor.kill()
    eventually("its machines are gone", lambda: not small.processes(), seconds=10)
    assert "./mesh up" in small.mesh("status", code=1).stderr
    started = time.monotonic()
    small.mesh("up")
    print(f"up after a killed supervisor: {time.monotonic() - started:.1f} s")
    whole(small)


def test_down_leaves_no_process_no_port_no_directory(small: Stack) -> None:
    temporary = {path.name for path in Path("/tmp").iterdir()}
    small.mesh("up")
    whole(small)
    addresses = [one["address"] for one in small.machines()]
    started = time.monotonic()
    small.mesh("down")
    print(f"down: {time.monotonic() - started:.1f} s")
    assert not small.processes()
    assert not small.state.exists()
    taken = {listener.laddr.ip for listener in psutil.net_connections("inet") if listener.status == psutil.CONN_LISTEN and listener.laddr}
    assert not taken & set(addresses)
    assert not {name for name in {path.name for path in Path("/tmp").iterdir()} - temporary if "mesh" in name}
    small.mesh("down")


@pytest.mark.slow
def test_two_stacks_of_two_clones_are_up_at_once(stack: Stack, small: Stack) -> None:
    small.mesh("up")
    mine, other = ({one["address"].rsplit(".", 2)[0] for one in each.machines()} for each in (small, stack))
    print(f"ranges: {mine} and {other}")
    assert not mine & other
    for each in (small, stack):
        with each.client(each.urls[0]) as client:
            assert client.get("/service-1/info").status_code == 200
