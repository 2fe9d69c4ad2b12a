"""When a control plane completes or prolongs a machine's lifecycle action."""

from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from apps.control_plane.discovery.machines import Machine
from apps.control_plane.discovery.reports import DeedReport, FaultReport
from apps.control_plane.lifecycle import (
    HEARTBEAT_SECONDS,
    READY_PATIENCE_SECONDS,
    REPEAT_SECONDS,
    Deed,
    Duties,
    Duty,
    carry_out,
)

NOBODY: frozenset[str] = frozenset()


def machine(lifecycle: str, instance: str = "i-1") -> Machine:
    return Machine(instance=instance, role="service", service="web", address="127.0.0.9", zone="a", group="g", lifecycle=lifecycle)


def deeds(duties: list[Duty]) -> list[tuple[Deed, str]]:
    return [(duty.deed, duty.hook) for duty in duties]


def test_a_drain_is_completed_once_when_its_time_is_over() -> None:
    duties = Duties(drain=timedelta(seconds=2))
    ending = [machine("Terminating:Wait")]
    assert deeds(duties.due(ending, ready=NOBODY, now=100.0)) == []
    assert deeds(duties.due(ending, ready=NOBODY, now=101.9)) == []
    assert deeds(duties.due(ending, ready=NOBODY, now=102.0)) == [(Deed.COMPLETE, "drain")]
    assert deeds(duties.due(ending, ready=NOBODY, now=103.0)) == []


def test_a_completion_that_seems_lost_is_repeated() -> None:
    duties = Duties(drain=timedelta(0))
    ending = [machine("Terminating:Wait")]
    assert deeds(duties.due(ending, ready=NOBODY, now=0.0)) == [(Deed.COMPLETE, "drain")]
    assert deeds(duties.due(ending, ready=NOBODY, now=REPEAT_SECONDS)) == [(Deed.COMPLETE, "drain")]


def test_a_launch_is_completed_when_the_machine_is_ready_and_prolonged_until_then() -> None:
    duties = Duties(drain=timedelta(seconds=2))
    coming = [machine("Pending:Wait")]
    assert deeds(duties.due(coming, ready=NOBODY, now=0.0)) == []
    assert deeds(duties.due(coming, ready=NOBODY, now=HEARTBEAT_SECONDS)) == [(Deed.HEARTBEAT, "ready")]
    assert deeds(duties.due(coming, ready=NOBODY, now=HEARTBEAT_SECONDS + 1)) == []
    assert deeds(duties.due(coming, ready={"i-1"}, now=HEARTBEAT_SECONDS + 2)) == [(Deed.COMPLETE, "ready")]


def test_a_machine_that_never_gets_ready_is_left_to_the_hooks_default() -> None:
    duties = Duties(drain=timedelta(seconds=2))
    coming = [machine("Pending:Wait")]
    duties.due(coming, ready=NOBODY, now=0.0)
    assert deeds(duties.due(coming, ready=NOBODY, now=READY_PATIENCE_SECONDS - 1)) == [(Deed.HEARTBEAT, "ready")]
    assert deeds(duties.due(coming, ready=NOBODY, now=READY_PATIENCE_SECONDS + 100)) == []


def test_a_long_drain_is_kept_alive() -> None:
    duties = Duties(drain=timedelta(minutes=5))
    ending = [machine("Terminating:Wait")]
    duties.due(ending, ready=NOBODY, now=0.0)
    assert deeds(duties.due(ending, ready=NOBODY, now=HEARTBEAT_SECONDS)) == [(Deed.HEARTBEAT, "drain")]


def test_machines_without_a_waiting_action_cause_no_call() -> None:
    duties = Duties(drain=timedelta(0))
    states = ["InService", "Pending", "Terminating", "Terminating:Proceed", "Pending:Proceed"]
    assert duties.due([machine(state, state) for state in states], ready=set(states), now=0.0) == []


class Answering:
    """An Auto Scaling API that answers every call with one error, or with nothing."""

    def __init__(self, code: str = "", text: str = "") -> None:
        self.code = code
        self.text = text
        self.calls: list[dict[str, str]] = []

    def complete_lifecycle_action(self, **names: str) -> None:
        self.calls.append(names)
        if self.code:
            error: Any = {"Error": {"Code": self.code, "Message": self.text}}
            raise ClientError(error, "CompleteLifecycleAction")


DUTY = Duty(deed=Deed.COMPLETE, hook="drain", group="g", instance="i-1")


def test_completing_continues_and_is_reported() -> None:
    api = Answering()
    assert carry_out(DUTY, api) == DeedReport(deed="complete", hook="drain", group="g", instance="i-1")
    assert api.calls == [
        {"LifecycleHookName": "drain", "AutoScalingGroupName": "g", "InstanceId": "i-1", "LifecycleActionResult": "CONTINUE"}
    ]


def test_an_action_that_the_other_control_plane_completed_is_no_fault() -> None:
    assert carry_out(DUTY, Answering("ValidationError", "No active Lifecycle Action found with instance ID i-1")) is None


@pytest.mark.parametrize("code", ["AccessDenied", "Throttling", "ValidationError"])
def test_any_other_error_is_a_fault(code: str) -> None:
    done = carry_out(DUTY, Answering(code, "no"))
    assert isinstance(done, FaultReport)
    assert (done.api, done.code) == ("autoscaling:CompleteLifecycleAction", code)
