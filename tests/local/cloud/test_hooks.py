"""Lifecycle hooks hold machines on their way in and out."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.components

READY = {
    "LifecycleHookName": "ready",
    "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
    "HeartbeatTimeout": 60,
    "DefaultResult": "CONTINUE",
}
DRAIN = READY | {"LifecycleHookName": "drain", "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING"}


def complete(account: Any, group: str, hook: str, instance: str, result: str = "CONTINUE") -> None:
    account.asg.complete_lifecycle_action(
        AutoScalingGroupName=group, LifecycleHookName=hook, InstanceId=instance, LifecycleActionResult=result
    )


def states(account: Any, group: str) -> dict[str, str]:
    return {member["InstanceId"]: member["LifecycleState"] for member in account.members(group)}


def test_the_first_launches_wait_for_an_initial_hook(account: Any) -> None:
    group = account.scaling_group(account.template(), 2, LifecycleHookSpecificationList=[READY])
    first, second = states(account, group)
    assert set(states(account, group).values()) == {"Pending:Wait"}
    complete(account, group, "ready", first)
    assert states(account, group) == {first: "InService", second: "Pending:Wait"}


def test_an_abandoned_launch_is_ended_and_replaced(account: Any) -> None:
    group = account.scaling_group(account.template(), 1, LifecycleHookSpecificationList=[READY])
    (bad,) = states(account, group)
    complete(account, group, "ready", bad, "ABANDON")
    assert {m.state for m in account.cloud.instances() if m.id == bad} == {"terminated"}
    (other,) = states(account, group)
    assert (other != bad, states(account, group)[other]) == (True, "Pending:Wait")


def test_a_member_waits_on_its_way_out_while_its_replacement_starts(account: Any) -> None:
    group = account.scaling_group(account.template(), 1, LifecycleHookSpecificationList=[DRAIN])
    (old,) = states(account, group)
    account.asg.terminate_instance_in_auto_scaling_group(InstanceId=old, ShouldDecrementDesiredCapacity=False)
    assert sorted(states(account, group).values()) == ["InService", "Terminating:Wait"]
    assert {m.state: m.lifecycle for m in account.cloud.instances() if m.id == old} == {"running": "Terminating:Wait"}
    complete(account, group, "drain", old)
    assert list(states(account, group).values()) == ["InService"]
    assert account.instance(old)["State"]["Name"] == "terminated"


def test_a_scaled_in_member_waits_for_every_hook(account: Any) -> None:
    hooks = [DRAIN, DRAIN | {"LifecycleHookName": "archive"}]
    group = account.scaling_group(account.template(), 1, LifecycleHookSpecificationList=hooks)
    (old,) = states(account, group)
    account.asg.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=0)
    complete(account, group, "drain", old)
    assert states(account, group) == {old: "Terminating:Wait"}
    complete(account, group, "archive", old)
    assert states(account, group) == {}


def test_a_hook_put_later_holds_later_launches(account: Any) -> None:
    group = account.scaling_group(account.template(), 1)
    account.asg.put_lifecycle_hook(AutoScalingGroupName=group, **READY)
    account.asg.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=2)
    assert sorted(states(account, group).values()) == ["InService", "Pending:Wait"]


@pytest.mark.parametrize(("result", "survives"), [("CONTINUE", True), ("ABANDON", False)])
def test_a_silent_launch_ends_as_the_hook_says(account: Any, eventually: Any, result: str, survives: bool) -> None:
    hook = READY | {"HeartbeatTimeout": 1, "DefaultResult": result}
    group = account.scaling_group(account.template(), 1, LifecycleHookSpecificationList=[hook])
    (first,) = states(account, group)
    if survives:
        eventually(lambda: states(account, group) == {first: "InService"})
    else:
        eventually(lambda: first not in states(account, group))


def test_a_heartbeat_gives_the_hook_its_whole_time_again(account: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    group = account.scaling_group(account.template(), 1, LifecycleHookSpecificationList=[DRAIN | {"HeartbeatTimeout": 1}])
    (old,) = states(account, group)
    account.asg.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=0)
    import time

    for _ in range(3):
        time.sleep(0.5)
        assert states(account, group) == {old: "Terminating:Wait"}
        account.asg.record_lifecycle_action_heartbeat(AutoScalingGroupName=group, LifecycleHookName="drain", InstanceId=old)
    time.sleep(1.2)
    assert states(account, group) == {}


def test_a_lifecycle_action_that_nobody_waits_for_is_refused(account: Any) -> None:
    group = account.scaling_group(account.template(), 1, LifecycleHookSpecificationList=[DRAIN])
    (member,) = states(account, group)
    with pytest.raises(ClientError, match=f"No active Lifecycle Action found with instance ID {member}"):
        complete(account, group, "drain", member)
    with pytest.raises(ClientError, match="No managed instance found"):
        complete(account, group, "drain", "i-0123456789abcdef0")


def test_deleting_a_hook_lets_go_of_whom_it_holds(account: Any) -> None:
    group = account.scaling_group(account.template(), 1, LifecycleHookSpecificationList=[DRAIN])
    account.asg.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=0)
    account.asg.delete_lifecycle_hook(AutoScalingGroupName=group, LifecycleHookName="drain")
    assert states(account, group) == {}


def test_a_machine_terminated_by_ec2_asks_no_hook(account: Any) -> None:
    group = account.scaling_group(account.template(), 1, LifecycleHookSpecificationList=[DRAIN])
    (old,) = states(account, group)
    account.ec2.terminate_instances(InstanceIds=[old])
    assert list(states(account, group).values()) == ["InService"]
    assert old not in states(account, group)
