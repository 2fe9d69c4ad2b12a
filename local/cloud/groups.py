"""Auto Scaling groups: launches spread over zones from the group's template version, ends chosen as AWS does, both through hooks.

moto launches all members in the first subnet from the default version, and ends them at once.
Scaling policies are stored but never act, launch configurations and mixed instances are refused.
"""

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from local.cloud import clock, hooks
from local.cloud.errors import autoscaling_error
from local.cloud.patching import replace, wrap

_log = logging.getLogger(__name__)

CAPACITY = frozenset({"Pending", "Pending:Wait", "Pending:Proceed", "InService"})
"""Lifecycle states that count towards the desired capacity."""
_RETRY = 5.0

watchers: list[Callable[[Any], None]] = []
"""Called with a group after its members changed; an instance refresh goes on from there."""


def install() -> None:
    from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup, InstanceState

    FakeAutoScalingGroup.surge = 0
    FakeAutoScalingGroup.default_instance_warmup = None
    replace(FakeAutoScalingGroup, "set_desired_capacity", _set_desired_capacity)
    wrap(FakeAutoScalingGroup, "update", _keep_within_bounds)
    replace(AutoScalingBackend, "terminate_instance", _terminate_member)
    replace(AutoScalingBackend, "notify_terminate_instances", _replace_terminated)
    replace(InstanceState, "launch_template", property(lambda member: member.template))


def counted(group: Any) -> list[Any]:
    """Members that count towards the desired capacity."""
    return [member for member in group.instance_states if member.lifecycle_state in CAPACITY]


def reconcile(group: Any) -> None:
    """Launches or ends members until their number is the desired one (and one more while a refresh asks for it)."""
    while _surplus(group) < 0:
        _launch(group)
    while _surplus(group) > 0:
        unprotected = [member for member in counted(group) if not member.protected_from_scale_in]
        if not unprotected:
            break
        retire(group, choose_victim(unprotected, counted(group)))
    for watcher in watchers:
        watcher(group)


def _surplus(group: Any) -> int:
    wanted: int = (group.desired_capacity or 0) + group.surge
    return len(counted(group)) - wanted


def retire(group: Any, member: Any) -> None:
    """Ends a member through its termination hooks; one that never was in service has nothing to drain and ends at once."""
    if member.lifecycle_state == "InService":
        hooks.begin(group.autoscaling_backend, member, "TERMINATING", lambda _ok: _end(group, member))
    elif member.lifecycle_state in CAPACITY:
        _end(group, member)


def choose_victim(candidates: list[Any], members: list[Any]) -> Any:
    """AWS's default termination policy: the fullest zone, there the oldest template version, of these the oldest instance."""
    zones = [member.availability_zone for member in members]
    return min(candidates, key=lambda m: (-zones.count(m.availability_zone), int(m.template["Version"]), m.launched_at))


def _set_desired_capacity(group: Any, new_capacity: int | None) -> None:
    desired = group.min_size if new_capacity is None else int(new_capacity)
    low, high = group.min_size or 0, group.max_size if group.max_size is not None else desired
    if not low <= desired <= high:
        raise autoscaling_error("ValidationError", f"Desired capacity {desired} of {group.name} must be between {low} and {high}.")
    if group.ec2_launch_template is None or group.mixed_instances_policy:
        raise autoscaling_error("ValidationError", f"Group {group.name} needs a LaunchTemplate; nothing else is launched here.")
    group.desired_capacity = desired
    try:
        reconcile(group)
    except Exception:
        if group.name not in group.autoscaling_backend.autoscaling_groups:  # a group that cannot be created leaves no machines
            end_all(group)
        raise


def end_all(group: Any) -> None:
    """Ends every member now, without hooks."""
    group.desired_capacity = group.surge = 0
    for member in list(group.instance_states):
        _end(group, member)


def _keep_within_bounds(update: Callable[..., None]) -> Callable[..., None]:
    """moto compares new bounds with all instances it knows, the ending ones too; AWS moves the desired capacity into the bounds."""

    def apply(self: Any, *, desired_capacity: int | None, max_size: int | None, min_size: int | None, **rest: Any) -> None:
        if desired_capacity is None:
            low, high = (self.min_size if min_size is None else min_size), (self.max_size if max_size is None else max_size)
            desired_capacity = min(max(self.desired_capacity, low), high)
        update(self, desired_capacity=desired_capacity, max_size=max_size, min_size=min_size, **rest)

    return apply


def _launch(group: Any) -> None:
    from moto.autoscaling.models import ASG_NAME_TAG, InstanceState

    version = group.ec2_launch_template.get_version(group.launch_template_version)
    tags = version.instance_tags | group.get_propagated_tags() | {ASG_NAME_TAG: group.name}
    reservation = group.ec2_backend.run_instances(
        version.image_id,
        1,
        version.user_data,
        [],
        instance_type=version.instance_type,
        is_instance_type_default=True,
        tags={"instance": tags},
        launch_template={"LaunchTemplateId": version.template.id, "Version": str(version.number)},
        subnet_id=_choose_subnet(group),
        associate_public_ip=None,
    )
    (instance,) = reservation.instances
    instance.autoscaling_group = group
    member = InstanceState(instance, "Pending", protected_from_scale_in=group.new_instances_protected_from_scale_in)
    member.template = {"LaunchTemplateId": version.template.id, "LaunchTemplateName": version.template.name, "Version": str(version.number)}
    member.launched_at = time.monotonic()
    group.instance_states.append(member)
    hooks.begin(group.autoscaling_backend, member, "LAUNCHING", partial(_launched, group, member))


def _choose_subnet(group: Any) -> str:
    """The subnet with the fewest members, of these the one launched into longest ago, so that a refresh ends even."""
    names = (group.vpc_zone_identifier or "").split(",")
    launches: dict[str, list[float]] = {name: [] for name in names}
    for member in counted(group):
        launches.setdefault(member.instance.subnet_id, []).append(member.launched_at)
    return min(names, key=lambda name: (len(launches[name]), max(launches[name], default=0.0)))


def _launched(group: Any, member: Any, ok: bool) -> None:
    if ok:
        member.lifecycle_state = "InService"
        member.in_service_at = time.monotonic()
        for watcher in watchers:
            watcher(group)
    else:
        _end(group, member)


def _end(group: Any, member: Any) -> None:
    hooks.drop(member)
    group.instance_states = [other for other in group.instance_states if other is not member]
    if member.instance.state != "terminated":
        group.ec2_backend.terminate_instances([member.instance_id])
    settle(group)


def settle(group: Any) -> None:
    """Reconciles where no caller can be told of a failure: a launch that fails is logged and tried again."""
    if group.autoscaling_backend.autoscaling_groups.get(group.name) is not group:
        return
    try:
        reconcile(group)
    except Exception as error:
        _log.warning("event=launch_failed group=%s error=%s retry_seconds=%s", group.name, error, _RETRY)
        clock.after(_RETRY, partial(settle, group))


def _terminate_member(self: Any, instance_id: str, should_decrement: bool) -> Any:
    """TerminateInstanceInAutoScalingGroup: through the hooks, with the replacement launched at once."""
    from moto.autoscaling.models import TerminateInstanceActivity

    group, member = member_of(self, instance_id)
    before = group.desired_capacity
    if should_decrement:
        if before <= (group.min_size or 0):
            raise autoscaling_error("ValidationError", f"{group.name} is at its minSize {before}: let it be replaced.")
        group.desired_capacity -= 1
    retire(group, member)
    settle(group)
    return TerminateInstanceActivity(member.instance, before)


def _replace_terminated(self: Any, instance_ids: list[str]) -> None:
    """EC2's TerminateInstances asks no hook; the group notices at once (within minutes on AWS)."""
    for group in list(self.autoscaling_groups.values()):
        gone = [member for member in group.instance_states if member.instance_id in instance_ids]
        for member in gone:
            _end(group, member)


def member_of(backend: Any, instance_id: str) -> tuple[Any, Any]:
    """The group and the member with this instance."""
    for group in backend.autoscaling_groups.values():
        for member in group.instance_states:
            if member.instance_id == instance_id:
                return group, member
    raise autoscaling_error("ValidationError", f"Instance Id not found - No managed instance found for instance ID: {instance_id}")
