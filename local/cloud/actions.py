"""Auto Scaling actions that moto answers wrongly or not at all."""

import time
from collections.abc import Callable
from typing import Any

from local.cloud import groups, hooks
from local.cloud.errors import autoscaling_error
from local.cloud.patching import add, wrap


def install() -> None:
    from moto.autoscaling.models import AutoScalingBackend
    from moto.autoscaling.responses import AutoScalingResponse

    wrap(AutoScalingResponse, "create_auto_scaling_group", _create_with_hooks)
    wrap(AutoScalingResponse, "delete_auto_scaling_group", _delete)
    wrap(AutoScalingBackend, "delete_lifecycle_hook", _delete_hook)
    wrap(AutoScalingResponse, "set_instance_health", _replace_unhealthy)
    add(AutoScalingResponse, "complete_lifecycle_action", _complete)
    add(AutoScalingResponse, "record_lifecycle_action_heartbeat", _heartbeat)


def _create_with_hooks(create: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """moto ignores LifecycleHookSpecificationList (the first launches would miss their hooks) and makes 300 s of no grace period."""

    def create_auto_scaling_group(self: Any) -> Any:
        name = self._get_param("AutoScalingGroupName")
        backend = self.autoscaling_backend
        if name in backend.autoscaling_groups:
            raise autoscaling_error("AlreadyExists", f"A group with the name {name} already exists")
        for hook in self._get_param("LifecycleHookSpecificationList", []):
            backend.create_lifecycle_hook(
                hook["LifecycleHookName"], name, hook["LifecycleTransition"], hook.get("HeartbeatTimeout"), hook.get("DefaultResult")
            )
        try:
            result = create(self)
        except Exception:
            _drop_hooks(backend, name)
            raise
        group = backend.autoscaling_groups[name]
        group.health_check_grace_period = self._get_int_param("HealthCheckGracePeriod") or 0
        group.default_instance_warmup = self._get_int_param("DefaultInstanceWarmup")
        return result

    return create_auto_scaling_group


def _delete(delete: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """With ForceDelete a group takes its instances with it, hooks unasked; without it AWS refuses a group that has instances."""

    def delete_auto_scaling_group(self: Any) -> Any:
        name = self._get_param("AutoScalingGroupName")
        group = self.autoscaling_backend.autoscaling_groups.get(name)
        if group is not None and group.instance_states:
            if not self._get_bool_param("ForceDelete", False):
                raise autoscaling_error("ResourceInUse", f"group {name} has instances; scale it to 0 first, or use ForceDelete")
            group.min_size = 0
            groups.end_all(group)
        if group is not None:
            group.min_size = 0
        result = delete(self)
        _drop_hooks(self.autoscaling_backend, name)
        policies = self.autoscaling_backend.policies
        for policy in [key for key, policy in policies.items() if policy.auto_scaling_group_name == name]:
            del policies[policy]
        return result

    return delete_auto_scaling_group


def _drop_hooks(backend: Any, group: str) -> None:
    for key in [key for key, hook in backend.lifecycle_hooks.items() if hook.auto_scaling_group_name == group]:
        del backend.lifecycle_hooks[key]


def _delete_hook(delete: Callable[..., None]) -> Callable[..., None]:
    def delete_lifecycle_hook(self: Any, as_name: str, name: str) -> None:
        hook = next(iter(self.describe_lifecycle_hooks(as_name, [name])), None)
        delete(self, as_name, name)
        if hook is not None and as_name in self.autoscaling_groups:
            for member in list(self.autoscaling_groups[as_name].instance_states):
                hooks.release(member, hook)

    return delete_lifecycle_hook


def _complete(self: Any) -> Any:
    """CompleteLifecycleAction; moto does not know it."""
    from moto.core.responses import EmptyResult

    result = self._get_param("LifecycleActionResult")
    if result not in (hooks.CONTINUE, hooks.ABANDON):
        raise autoscaling_error("ValidationError", f"LifecycleActionResult {result!r} is not CONTINUE or ABANDON")
    _group, member, hook = _waiting(self)
    hooks.complete(member, hook.name, result)
    return EmptyResult()


def _heartbeat(self: Any) -> Any:
    """RecordLifecycleActionHeartbeat; moto does not know it."""
    from moto.core.responses import EmptyResult

    _group, member, hook = _waiting(self)
    hooks.heartbeat(member, hook)
    return EmptyResult()


def _waiting(self: Any) -> tuple[Any, Any, Any]:
    """The group, member and hook that a lifecycle action names; by instance id, as no notification ever carried a token."""
    group, member = groups.member_of(self.autoscaling_backend, self._get_param("InstanceId"))
    name = self._get_param("LifecycleHookName")
    hook = next(iter(self.autoscaling_backend.describe_lifecycle_hooks(group.name, [name])), None)
    if hook is None or group.name != self._get_param("AutoScalingGroupName"):
        raise autoscaling_error("ValidationError", f"No active Lifecycle Action found with instance ID {member.instance_id}")
    return group, member, hook


def _replace_unhealthy(set_health: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """moto notes that an instance is unhealthy and leaves it; within the grace period AWS ignores the call unless told otherwise."""

    def set_instance_health(self: Any) -> Any:
        group, member = groups.member_of(self.autoscaling_backend, self._get_param("InstanceId"))
        age = time.monotonic() - getattr(member, "in_service_at", time.monotonic())
        in_grace = self._get_bool_param("ShouldRespectGracePeriod", True) and age < (group.health_check_grace_period or 0)
        if in_grace:
            self.params["HealthStatus"] = "Healthy"
        result = set_health(self)
        if member.health_status == "Unhealthy":
            groups.retire(group, member)
            groups.settle(group)
        return result

    return set_instance_health
