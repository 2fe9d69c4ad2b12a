"""Rows of Auto Scaling: groups with their hooks and instance refreshes, policies, single lifecycle hooks."""

from typing import Any

from local.provider.ec2 import boto
from local.provider.row import Call, Found, Properties, Row

_SIZES = {"minSize": "MinSize", "maxSize": "MaxSize", "desiredCapacity": "DesiredCapacity"}
_SETTINGS = {
    "healthCheckType": "HealthCheckType",
    "healthCheckGracePeriod": "HealthCheckGracePeriod",
    "defaultCooldown": "DefaultCooldown",
    "defaultInstanceWarmup": "DefaultInstanceWarmup",
    "terminationPolicies": "TerminationPolicies",
    "availabilityZones": "AvailabilityZones",
    "capacityRebalance": "CapacityRebalance",
    "maxInstanceLifetime": "MaxInstanceLifetime",
    "protectFromScaleIn": "NewInstancesProtectedFromScaleIn",
}
_HOOK = ("lifecycleTransition", "heartbeatTimeout", "defaultResult", "notificationMetadata", "notificationTargetArn")
_ROLLED = {"launchTemplate", "mixedInstancesPolicy", "launchConfiguration"}


def _arguments(call: Call, names: frozenset[str]) -> dict[str, Any]:
    """Of the named inputs those that the API takes as they are, so that nothing unchanged is ever sent (`desiredCapacity`!)."""
    inputs = call.inputs
    arguments = {boto_name: inputs[name] for name, boto_name in (_SIZES | _SETTINGS).items() if name in names and name in inputs}
    if "launchTemplate" in names and inputs.get("launchTemplate"):
        template = inputs["launchTemplate"]
        arguments["LaunchTemplate"] = {
            **({"LaunchTemplateId": template["id"]} if template.get("id") else {"LaunchTemplateName": template["name"]}),
            "Version": str(template.get("version", "$Default")),
        }
    if "vpcZoneIdentifiers" in names:
        arguments["VPCZoneIdentifier"] = ",".join(inputs.get("vpcZoneIdentifiers", []))
    return arguments


def _tag_list(call: Call) -> list[dict[str, Any]]:
    """Our own tags stay on the group: its machines are not resources of the engine."""
    given = [
        {"Key": tag["key"], "Value": tag["value"], "PropagateAtLaunch": tag["propagateAtLaunch"]} for tag in call.inputs.get("tags", [])
    ]
    ours = [{"Key": key, "Value": value, "PropagateAtLaunch": False} for key, value in call.stamp.items()]
    return [{"ResourceId": call.inputs["name"], "ResourceType": "auto-scaling-group", **tag} for tag in given + ours]


def _hook_list(call: Call) -> list[dict[str, Any]]:
    return [
        {"LifecycleHookName": hook["name"], **{name[0].upper() + name[1:]: hook[name] for name in _HOOK if name in hook}}
        for hook in call.inputs.get("initialLifecycleHooks", [])
    ]


def _create_group(call: Call) -> str:
    """Hooks go with the creating call: a hook that comes later misses the first machines."""
    asg, name = call.client("autoscaling"), str(call.inputs["name"])
    hooks = _hook_list(call)
    asg.create_auto_scaling_group(
        AutoScalingGroupName=name,
        **_arguments(call, frozenset(call.inputs)),
        **({"LifecycleHookSpecificationList": hooks} if hooks else {}),
        Tags=_tag_list(call),
    )
    _complete_group(call, name)
    return name


def _complete_group(call: Call, name: str) -> None:
    """What a cloud that leaves hooks out of the creating call still needs, and what has calls of its own."""
    asg = call.client("autoscaling")
    hooks = _hook_list(call)
    if hooks:
        present = {hook["LifecycleHookName"] for hook in asg.describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"]}
        for hook in hooks:
            if hook["LifecycleHookName"] not in present:
                asg.put_lifecycle_hook(AutoScalingGroupName=name, **hook)
    if call.inputs.get("suspendedProcesses"):
        asg.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=call.inputs["suspendedProcesses"])
    if call.inputs.get("enabledMetrics"):
        asg.enable_metrics_collection(
            AutoScalingGroupName=name, Metrics=call.inputs["enabledMetrics"], Granularity=call.inputs.get("metricsGranularity", "1Minute")
        )


def _update_group(call: Call) -> None:
    asg = call.client("autoscaling")
    arguments = _arguments(call, call.changed)
    if arguments:
        asg.update_auto_scaling_group(AutoScalingGroupName=call.id, **arguments)
    if "tags" in call.changed:
        _update_group_tags(call)
    if "suspendedProcesses" in call.changed:
        _update_suspended(call)
    if not call.old:
        _complete_group(call, call.id)
    elif _asks_for_refresh(call):
        _start_refresh(call)


def _update_group_tags(call: Call) -> None:
    asg = call.client("autoscaling")
    kept = {tag["key"] for tag in call.inputs.get("tags", [])}
    removed = [tag["key"] for tag in call.old.get("tags", []) if tag["key"] not in kept]
    if removed:
        asg.delete_tags(Tags=[{"ResourceId": call.id, "ResourceType": "auto-scaling-group", "Key": key} for key in removed])
    asg.create_or_update_tags(Tags=_tag_list(call))


def _update_suspended(call: Call) -> None:
    asg = call.client("autoscaling")
    old, new = set(call.old.get("suspendedProcesses", [])), set(call.inputs.get("suspendedProcesses", []))
    if old - new:
        asg.resume_processes(AutoScalingGroupName=call.id, ScalingProcesses=sorted(old - new))
    if new - old:
        asg.suspend_processes(AutoScalingGroupName=call.id, ScalingProcesses=sorted(new - old))


def _asks_for_refresh(call: Call) -> bool:
    """A refresh follows a change of what machines are launched from, or of a trigger that the program named."""
    refresh = call.inputs.get("instanceRefresh")
    return refresh is not None and bool(call.changed & (_ROLLED | set(refresh.get("triggers", []))))


def _start_refresh(call: Call) -> None:
    """The real provider returns when the refresh has started, too; one that still runs is cancelled for it."""
    refresh = call.inputs["instanceRefresh"]
    preferences = boto(refresh.get("preferences", {}))
    for name in ("InstanceWarmup", "CheckpointDelay", "MinHealthyPercentage", "MaxHealthyPercentage"):
        if name in preferences:
            preferences[name] = int(preferences[name])
    asg = call.client("autoscaling")
    running = asg.describe_instance_refreshes(AutoScalingGroupName=call.id, MaxRecords=1)["InstanceRefreshes"]
    if running and running[0]["Status"] == "InProgress":
        asg.cancel_instance_refresh(AutoScalingGroupName=call.id)
    asg.start_instance_refresh(
        AutoScalingGroupName=call.id, Strategy=refresh["strategy"], **({"Preferences": preferences} if preferences else {})
    )


def _live_group(call: Call, name: str) -> dict[str, Any] | None:
    groups = call.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    return groups[0] if groups else None


def _find_group(call: Call) -> list[Found]:
    group = _live_group(call, call.inputs["name"])
    return [] if group is None else [Found(call.inputs["name"], {tag["Key"]: tag["Value"] for tag in group["Tags"]})]


def _read_group(call: Call) -> Properties | None:
    group = _live_group(call, call.id)
    if group is None:
        return None
    return {
        "arn": group["AutoScalingGroupARN"],
        "name": group["AutoScalingGroupName"],
        "minSize": group["MinSize"],
        "maxSize": group["MaxSize"],
        "desiredCapacity": group["DesiredCapacity"],
        "availabilityZones": sorted(group["AvailabilityZones"]),
        "healthCheckType": group["HealthCheckType"],
        "healthCheckGracePeriod": group.get("HealthCheckGracePeriod", 300),
        "defaultCooldown": group["DefaultCooldown"],
        "vpcZoneIdentifiers": [name for name in group.get("VPCZoneIdentifier", "").split(",") if name],
        "serviceLinkedRoleArn": group.get("ServiceLinkedRoleARN", ""),
    }


def _put_policy(call: Call) -> str:
    inputs, name = call.inputs, str(call.inputs["name"])
    arguments = call.given("adjustmentType", "scalingAdjustment", "cooldown", "estimatedInstanceWarmup", "minAdjustmentMagnitude")
    if inputs.get("targetTrackingConfiguration"):
        arguments["TargetTrackingConfiguration"] = boto(inputs["targetTrackingConfiguration"])
    if inputs.get("stepAdjustments"):
        arguments["StepAdjustments"] = boto(inputs["stepAdjustments"])
    call.client("autoscaling").put_scaling_policy(
        AutoScalingGroupName=inputs["autoscalingGroupName"],
        PolicyName=name,
        PolicyType=inputs.get("policyType", "SimpleScaling"),
        **arguments,
    )
    return name


def _read_policy(call: Call) -> Properties | None:
    asg, group = call.client("autoscaling"), call.inputs["autoscalingGroupName"]
    if _live_group(call, group) is None:
        return None
    policies = asg.describe_policies(AutoScalingGroupName=group, PolicyNames=[call.id])["ScalingPolicies"]
    return {"arn": policies[0]["PolicyARN"], "name": call.id} if policies else None


def _put_hook(call: Call) -> str:
    name = str(call.inputs["name"])
    call.client("autoscaling").put_lifecycle_hook(
        AutoScalingGroupName=call.inputs["autoscalingGroupName"], LifecycleHookName=name, **call.given(*_HOOK)
    )
    return name


def _read_hook(call: Call) -> Properties | None:
    group = call.inputs["autoscalingGroupName"]
    if _live_group(call, group) is None:
        return None
    hooks = call.client("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName=group)["LifecycleHooks"]
    found = next((hook for hook in hooks if hook["LifecycleHookName"] == call.id), None)
    return None if found is None else {"defaultResult": found.get("DefaultResult", "ABANDON")}


def _again_policy(call: Call) -> None:
    _put_policy(call)


def _again_hook(call: Call) -> None:
    _put_hook(call)


def _delete_policy(call: Call) -> None:
    call.client("autoscaling").delete_policy(AutoScalingGroupName=call.inputs["autoscalingGroupName"], PolicyName=call.id)


def _delete_hook(call: Call) -> None:
    call.client("autoscaling").delete_lifecycle_hook(AutoScalingGroupName=call.inputs["autoscalingGroupName"], LifecycleHookName=call.id)


ROWS = (
    Row(
        token="aws:autoscaling/group:Group",
        create=_create_group,
        read=_read_group,
        update=_update_group,
        delete=lambda call: call.client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName=call.id, ForceDelete=True),
        find=_find_group,
        replace=frozenset({"name", "namePrefix", "placementGroup", "initialLifecycleHooks", "region"}),
        autoname="name",
    ),
    Row(
        token="aws:autoscaling/policy:Policy",
        create=_put_policy,
        read=_read_policy,
        update=_again_policy,
        delete=_delete_policy,
        replace=frozenset({"name", "autoscalingGroupName", "region"}),
        autoname="name",
    ),
    Row(
        token="aws:autoscaling/lifecycleHook:LifecycleHook",
        create=_put_hook,
        read=_read_hook,
        update=_again_hook,
        delete=_delete_hook,
        replace=frozenset({"name", "autoscalingGroupName", "region"}),
        autoname="name",
    ),
)
