"""An instance refresh replaces a group's machines one by one and never has fewer in service than it may."""

from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.components

ROLLING = {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 150, "InstanceWarmup": 0}
LAUNCH = {
    "LifecycleHookName": "ready",
    "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
    "HeartbeatTimeout": 60,
    "DefaultResult": "CONTINUE",
}
END = LAUNCH | {"LifecycleHookName": "drain", "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING"}


def lifecycle(account: Any, group: str) -> Counter[tuple[str, str]]:
    return Counter((member["LifecycleState"], member["LaunchTemplate"]["Version"]) for member in account.members(group))


def finish_waits(account: Any, group: str) -> None:
    for member in account.members(group):
        hook = {"Pending:Wait": "ready", "Terminating:Wait": "drain"}.get(member["LifecycleState"])
        if hook:
            account.asg.complete_lifecycle_action(
                AutoScalingGroupName=group,
                LifecycleHookName=hook,
                InstanceId=member["InstanceId"],
                LifecycleActionResult="CONTINUE",
            )


def newest(account: Any, group: str) -> dict[str, Any]:
    found: dict[str, Any] = account.asg.describe_instance_refreshes(AutoScalingGroupName=group)["InstanceRefreshes"][0]
    return found


def test_members_are_replaced_one_by_one_through_their_hooks(account: Any) -> None:
    template = account.template()
    group = account.scaling_group(template, 2, zones=2, LifecycleHookSpecificationList=[LAUNCH, END])
    finish_waits(account, group)
    account.new_version(template, "c2Vjb25k")
    started = account.asg.start_instance_refresh(AutoScalingGroupName=group, Preferences=ROLLING)
    seen = [(dict(lifecycle(account, group)), newest(account, group)["PercentageComplete"])]
    while newest(account, group)["Status"] == "InProgress":
        finish_waits(account, group)
        seen.append((dict(lifecycle(account, group)), newest(account, group)["PercentageComplete"]))
    assert seen == [
        ({("InService", "1"): 2, ("Pending:Wait", "2"): 1}, 0),
        ({("InService", "1"): 1, ("Terminating:Wait", "1"): 1, ("InService", "2"): 1}, 50),
        ({("InService", "1"): 1, ("InService", "2"): 1, ("Pending:Wait", "2"): 1}, 50),
        ({("Terminating:Wait", "1"): 1, ("InService", "2"): 2}, 100),
        ({("InService", "2"): 2}, 100),
    ]
    done = newest(account, group)
    assert (done["InstanceRefreshId"], done["Status"], done["InstancesToUpdate"]) == (started["InstanceRefreshId"], "Successful", 0)
    assert len({member["AvailabilityZone"] for member in account.members(group)}) == 2


def test_a_refresh_without_hooks_is_over_at_once_and_zones_stay_even(account: Any) -> None:
    template = account.template()
    group = account.scaling_group(template, 6)
    before = {member["InstanceId"] for member in account.members(group)}
    account.asg.start_instance_refresh(AutoScalingGroupName=group, Preferences=ROLLING)
    members = account.members(group)
    assert newest(account, group)["Status"] == "Successful"
    assert before.isdisjoint(member["InstanceId"] for member in members)
    assert set(Counter(member["AvailabilityZone"] for member in members).values()) == {2}


def test_matching_members_are_skipped_when_asked_for(account: Any) -> None:
    template = account.template()
    group = account.scaling_group(template, 2)
    account.new_version(template, "c2Vjb25k")
    account.asg.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=3)
    kept = {m["InstanceId"] for m in account.members(group) if m["LaunchTemplate"]["Version"] == "2"}
    account.asg.start_instance_refresh(AutoScalingGroupName=group, Preferences=ROLLING | {"SkipMatching": True})
    assert kept < {member["InstanceId"] for member in account.members(group)}
    assert lifecycle(account, group) == {("InService", "2"): 3}


def test_a_new_member_warms_up_before_the_old_one_goes(account: Any, eventually: Any) -> None:
    template = account.template()
    group = account.scaling_group(template, 1)
    account.new_version(template, "c2Vjb25k")
    account.asg.start_instance_refresh(AutoScalingGroupName=group, Preferences=ROLLING | {"InstanceWarmup": 1})
    assert lifecycle(account, group) == {("InService", "1"): 1, ("InService", "2"): 1}
    eventually(lambda: newest(account, group)["Status"] == "Successful")
    assert lifecycle(account, group) == {("InService", "2"): 1}


def test_without_room_above_the_desired_capacity_an_old_member_goes_first(account: Any) -> None:
    template = account.template()
    group = account.scaling_group(template, 2, LifecycleHookSpecificationList=[LAUNCH])
    finish_waits(account, group)
    account.new_version(template, "c2Vjb25k")
    account.asg.start_instance_refresh(AutoScalingGroupName=group, Preferences={"MinHealthyPercentage": 50, "InstanceWarmup": 0})
    assert lifecycle(account, group) == {("InService", "1"): 1, ("Pending:Wait", "2"): 1}
    finish_waits(account, group)
    finish_waits(account, group)
    assert lifecycle(account, group) == {("InService", "2"): 2}


def test_only_one_refresh_runs_and_it_can_be_cancelled(account: Any) -> None:
    template = account.template()
    group = account.scaling_group(template, 2, LifecycleHookSpecificationList=[LAUNCH])
    finish_waits(account, group)
    account.new_version(template, "c2Vjb25k")
    account.asg.start_instance_refresh(AutoScalingGroupName=group, Preferences=ROLLING)
    with pytest.raises(ClientError, match="already in progress"):
        account.asg.start_instance_refresh(AutoScalingGroupName=group)
    account.asg.cancel_instance_refresh(AutoScalingGroupName=group)
    assert newest(account, group)["Status"] == "Cancelled"
    assert sum(lifecycle(account, group).values()) == 2
    with pytest.raises(ClientError, match="No in progress"):
        account.asg.cancel_instance_refresh(AutoScalingGroupName=group)


def test_a_group_of_one_launches_first_beyond_its_bound_where_it_may(account: Any) -> None:
    """An edge."""
    template = account.template()
    group = account.scaling_group(template, 1, zones=1, MinSize=1, MaxSize=1, LifecycleHookSpecificationList=[LAUNCH, END])
    finish_waits(account, group)
    account.new_version(template, "c2Vjb25k")
    account.asg.start_instance_refresh(AutoScalingGroupName=group, Preferences=ROLLING | {"MaxHealthyPercentage": 200})
    assert lifecycle(account, group) == {("InService", "1"): 1, ("Pending:Wait", "2"): 1}
    finish_waits(account, group)
    assert lifecycle(account, group) == {("Terminating:Wait", "1"): 1, ("InService", "2"): 1}
    finish_waits(account, group)
    assert newest(account, group)["Status"] == "Successful"


def test_a_group_of_one_ends_the_old_member_first_where_it_must_and_launches_while_that_waits(account: Any) -> None:
    """A control plane: its successor boots while it still has its address."""
    template = account.template()
    group = account.scaling_group(template, 1, zones=1, MinSize=1, MaxSize=1, LifecycleHookSpecificationList=[LAUNCH, END])
    finish_waits(account, group)
    (old,) = (member["InstanceId"] for member in account.members(group))
    account.new_version(template, "c2Vjb25k")
    account.asg.start_instance_refresh(AutoScalingGroupName=group, Preferences={"MinHealthyPercentage": 0, "MaxHealthyPercentage": 100})
    assert lifecycle(account, group) == {("Terminating:Wait", "1"): 1, ("Pending:Wait", "2"): 1}
    account.ec2.terminate_instances(InstanceIds=[old])
    assert lifecycle(account, group) == {("Pending:Wait", "2"): 1}
    finish_waits(account, group)
    assert newest(account, group)["Status"] == "Successful"


def test_the_only_member_of_a_group_is_made_again_when_it_is_terminated(account: Any) -> None:
    group = account.scaling_group(account.template(), 1, zones=1, MinSize=1, MaxSize=1)
    (old,) = account.members(group)
    account.ec2.terminate_instances(InstanceIds=[old["InstanceId"]])
    (new,) = account.members(group)
    assert (new["LifecycleState"], new["AvailabilityZone"]) == ("InService", old["AvailabilityZone"])
    assert new["InstanceId"] != old["InstanceId"]
