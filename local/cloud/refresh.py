"""Instance refreshes: a group's members are replaced one by one, the new one in service before the old one goes.

moto does not know them. Of the preferences these act: MinHealthyPercentage and MaxHealthyPercentage (above 100: launch
first, else terminate first), InstanceWarmup and SkipMatching. AWS may replace several at a time, here it is always one,
and a refresh never times out.
"""

import math
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from local.cloud import clock, groups
from local.cloud.errors import autoscaling_error
from local.cloud.patching import add

_DEFAULTS = {"MinHealthyPercentage": 90, "MaxHealthyPercentage": 100, "SkipMatching": False}


@dataclass
class Refresh:
    """One refresh of a group, running or over."""

    group: Any
    preferences: dict[str, Any]
    old: frozenset[str]
    """Members that were there at the start and have to go, whatever version they have."""
    total: int = 0
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "InProgress"
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: datetime | None = None
    busy: bool = False

    def outdated(self) -> list[Any]:
        """Members that have to go still: those of the start, and any whose version is not the group's by now."""
        version = str(self.group.ec2_launch_template.get_version(self.group.launch_template_version).number)
        return [m for m in groups.counted(self.group) if m.instance_id in self.old or m.template["Version"] != version]

    def finish(self, status: str) -> None:
        self.status, self.ended, self.group.surge = status, datetime.now(UTC), 0

    def describe(self) -> dict[str, Any]:
        left = 0 if self.status == "Successful" else len(self.outdated())
        done = 100 if self.status == "Successful" else max(0, 100 * (self.total - left) // max(1, self.total))
        times = {"StartTime": self.started} | ({"EndTime": self.ended} if self.ended else {})
        return {
            "InstanceRefreshId": self.id,
            "AutoScalingGroupName": self.group.name,
            "Status": self.status,
            "PercentageComplete": done,
            "InstancesToUpdate": left,
            "Preferences": self.preferences,
        } | times


def install() -> None:
    from moto.autoscaling.responses import AutoScalingResponse

    add(AutoScalingResponse, "start_instance_refresh", _start)
    add(AutoScalingResponse, "describe_instance_refreshes", _describe)
    add(AutoScalingResponse, "cancel_instance_refresh", _cancel)
    groups.watchers[:] = [_advance]


def _start(self: Any) -> Any:
    from moto.core.responses import ActionResult

    group = _group(self)
    if (running := _running(group)) is not None:
        raise autoscaling_error("InstanceRefreshInProgress", f"An Instance Refresh is already in progress: {running.id}")
    if self._get_param("DesiredConfiguration"):
        raise autoscaling_error("ValidationError", "The local cloud knows no DesiredConfiguration; change the group's LaunchTemplate first")
    preferences = _DEFAULTS | dict(self._get_param("Preferences") or {})
    members = () if preferences["SkipMatching"] else (member.instance_id for member in groups.counted(group))
    refresh = Refresh(group, preferences, frozenset(members))
    refresh.total = len(refresh.outdated())
    group.refreshes = [refresh, *_all(group)]
    _advance(group)
    return ActionResult({"InstanceRefreshId": refresh.id})


def _describe(self: Any) -> Any:
    from moto.core.responses import ActionResult

    names = self._get_param("InstanceRefreshIds", [])
    return ActionResult({"InstanceRefreshes": [r.describe() for r in _all(_group(self)) if not names or r.id in names]})


def _cancel(self: Any) -> Any:
    """What is replaced stays replaced; the member too many is scaled in."""
    from moto.core.responses import ActionResult

    group = _group(self)
    if (running := _running(group)) is None:
        raise autoscaling_error("ActiveInstanceRefreshNotFound", f"No in progress or pending Instance Refresh found for {group.name}")
    running.finish("Cancelled")
    groups.settle(group)
    return ActionResult({"InstanceRefreshId": running.id})


def _advance(group: Any) -> None:
    """Takes all steps that are possible now; called whenever the group's members change, also by its own steps."""
    refresh = _running(group)
    if refresh is None or refresh.busy:
        return
    refresh.busy = True
    try:
        while _step(group, refresh):
            pass
    finally:
        refresh.busy = False


def _step(group: Any, refresh: Refresh) -> bool:
    """Does the next thing and says whether there may be another one to do at once."""
    members, outdated = groups.counted(group), refresh.outdated()
    ready = [member for member in members if _is_ready(group, refresh, member)]
    if len(members) < len(group.instance_states):
        return False  # one is on its way out
    if not outdated:
        if len(ready) == len(members):
            refresh.finish("Successful")
        return False
    if _launches_first(refresh) and not group.surge:
        group.surge = 1
        groups.settle(group)
        return True
    if len(ready) >= _least_ready(group, refresh):
        group.surge = 0
        groups.retire(group, groups.choose_victim(outdated, members))
        groups.settle(group)
        return True
    return False


def _launches_first(refresh: Refresh) -> bool:
    return int(refresh.preferences["MaxHealthyPercentage"]) > 100


def _least_ready(group: Any, refresh: Refresh) -> int:
    """How many must be in service before one may go: one more than must stay; a group below that minimum may always lose one."""
    desired, surge = int(group.desired_capacity), int(group.surge)
    stay = math.ceil(desired * int(refresh.preferences["MinHealthyPercentage"]) / 100)
    return min(stay + 1, desired + surge)


def _is_ready(group: Any, refresh: Refresh, member: Any) -> bool:
    """In service and warmed up; an old one is warm. Looks again when the warm-up is over."""
    if member.lifecycle_state != "InService":
        return False
    if member.instance_id in refresh.old:
        return True
    warmup = refresh.preferences.get("InstanceWarmup")
    if warmup is None:
        warmup = group.default_instance_warmup if group.default_instance_warmup is not None else group.health_check_grace_period
    remaining: float = member.in_service_at + int(warmup or 0) - time.monotonic()
    if remaining > 0:
        clock.after(remaining, partial(_advance, group))
    return remaining <= 0


def _group(self: Any) -> Any:
    name = self._get_param("AutoScalingGroupName")
    group = self.autoscaling_backend.autoscaling_groups.get(name)
    if group is None:
        raise autoscaling_error("ValidationError", f"AutoScalingGroup name not found - {name}")
    return group


def _all(group: Any) -> list[Refresh]:
    refreshes: list[Refresh] = getattr(group, "refreshes", [])
    return refreshes


def _running(group: Any) -> Refresh | None:
    return next((refresh for refresh in _all(group) if refresh.status == "InProgress"), None)
