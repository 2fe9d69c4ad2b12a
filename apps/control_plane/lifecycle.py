"""The control plane's part in a machine's coming and going: when to complete or prolong a lifecycle action.

Each replica does all of it. The first to complete an action ends it, the other one is told that there is none; that is
no fault. A replica that starts in the middle of a drain begins its own count, so a drain is never cut short by much.
A control plane's own end waits for more than its drain: see `succession`.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from apps.common.aws import AwsError, error_code
from apps.control_plane.discovery.machines import Machine
from apps.control_plane.discovery.reports import DeedReport, FaultReport
from apps.control_plane.succession import may_go
from model.contract import Role

READY_HOOK = "ready"
DRAIN_HOOK = "drain"
HEARTBEAT_SECONDS = 30.0
"""A quarter of the hooks' timeout, so that three may be lost."""
READY_PATIENCE_SECONDS = 600.0
"""A machine that is not ready by then gets no more heartbeats: the hook's default result decides."""
REPEAT_SECONDS = 15.0
"""After which a completed action that still waits is completed again: the first call may have been lost."""


class Deed(StrEnum):
    """What is done to a lifecycle action."""

    COMPLETE = "complete"
    HEARTBEAT = "heartbeat"


@dataclass(frozen=True, kw_only=True)
class Duty:
    """One call to make now."""

    deed: Deed
    hook: str
    group: str
    instance: str


@dataclass(kw_only=True)
class _Wait:
    since: float
    heartbeat: float
    completed: float | None = None


@dataclass(kw_only=True)
class Duties:
    """Remembers since when each machine waits; knows no AWS and no clock."""

    drain: timedelta
    _waits: dict[tuple[str, str], _Wait] = field(default_factory=dict)

    def due(self, machines: Sequence[Machine], *, ready: Container[str], now: float, serving: Container[str] | None = None) -> list[Duty]:
        """The calls to make at `now` (seconds of any steady clock) for machines of which some were seen `ready`.

        `serving` are the control planes that answered after a look that is fresh; without, nothing is decided about them.
        """
        duties: list[Duty] = []
        present: set[tuple[str, str]] = set()
        goer = None if serving is None else may_go(machines, serving)
        for machine in machines:
            if machine.group is None or not (machine.waits_to_serve or machine.waits_to_end):
                continue
            hook = READY_HOOK if machine.waits_to_serve else DRAIN_HOOK
            key = (machine.instance, hook)
            present.add(key)
            wait = self._waits.setdefault(key, _Wait(since=now, heartbeat=now))
            age = now - wait.since
            over = machine.instance in ready if machine.waits_to_serve else age >= self.drain.total_seconds()
            hopeless = machine.waits_to_serve and age >= READY_PATIENCE_SECONDS
            if machine.waits_to_end and machine.role == Role.CONTROL_PLANE:
                if serving is None:
                    continue
                # One that serves nobody any more is left to the hook's default: it may hold the address that its successor needs.
                over, hopeless = over and machine.instance == goer, machine.instance not in serving
            deed = self._deed(wait, over=over, now=now, hopeless=hopeless)
            if deed:
                duties.append(Duty(deed=deed, hook=hook, group=machine.group, instance=machine.instance))
        self._waits = {key: wait for key, wait in self._waits.items() if key in present}
        return duties

    @staticmethod
    def _deed(wait: _Wait, *, over: bool, now: float, hopeless: bool) -> Deed | None:
        if over:
            if wait.completed is not None and now - wait.completed < REPEAT_SECONDS:
                return None
            wait.completed = now
            return Deed.COMPLETE
        if hopeless or now - wait.heartbeat < HEARTBEAT_SECONDS:
            return None
        wait.heartbeat = now
        return Deed.HEARTBEAT


def carry_out(duty: Duty, autoscaling: Any) -> DeedReport | FaultReport | None:
    """Makes the call; None when the action was already over, which the other replica's call brings about."""
    names = {"LifecycleHookName": duty.hook, "AutoScalingGroupName": duty.group, "InstanceId": duty.instance}
    try:
        if duty.deed is Deed.COMPLETE:
            autoscaling.complete_lifecycle_action(**names, LifecycleActionResult="CONTINUE")
        else:
            autoscaling.record_lifecycle_action_heartbeat(**names)
    except AwsError as error:
        if error_code(error) == "ValidationError" and "no active lifecycle action" in str(error).lower():
            return None
        call = "CompleteLifecycleAction" if duty.deed is Deed.COMPLETE else "RecordLifecycleActionHeartbeat"
        return FaultReport(api=f"autoscaling:{call}", code=error_code(error), text=str(error))
    return DeedReport(deed=duty.deed, hook=duty.hook, group=duty.group, instance=duty.instance)
