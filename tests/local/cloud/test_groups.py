"""Groups follow their desired capacity, replace what is lost, and go as they should."""

from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.components


def test_a_terminated_member_is_replaced_at_once(account: Any) -> None:
    group = account.scaling_group(account.template(), 3)
    victim = account.members(group)[1]
    account.ec2.terminate_instances(InstanceIds=[victim["InstanceId"]])
    members = account.members(group)
    assert victim["InstanceId"] not in {member["InstanceId"] for member in members}
    assert Counter(member["AvailabilityZone"] for member in members).most_common(1)[0][1] == 1


def test_scaling_in_keeps_zones_even_and_takes_the_oldest_version_first(account: Any) -> None:
    template = account.template()
    group = account.scaling_group(template, 3)
    account.new_version(template, "c2Vjb25k")
    account.asg.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=6)
    account.asg.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=3)
    members = account.members(group)
    assert {member["LaunchTemplate"]["Version"] for member in members} == {"2"}
    assert len({member["AvailabilityZone"] for member in members}) == 3


def test_a_protected_member_is_not_scaled_in(account: Any) -> None:
    group = account.scaling_group(account.template(), 2)
    kept = account.members(group)[0]["InstanceId"]
    account.asg.set_instance_protection(AutoScalingGroupName=group, InstanceIds=[kept], ProtectedFromScaleIn=True)
    account.asg.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=0)
    assert [member["InstanceId"] for member in account.members(group)] == [kept]


def test_a_desired_capacity_outside_the_bounds_is_refused(account: Any) -> None:
    group = account.scaling_group(account.template(), 2, MinSize=1, MaxSize=3)
    for size in (0, 4):
        with pytest.raises(ClientError, match="must be between 1 and 3"):
            account.asg.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=size)


def test_new_bounds_move_the_desired_capacity_into_them(account: Any) -> None:
    group = account.scaling_group(account.template(), 2, MinSize=1, MaxSize=5)
    account.asg.update_auto_scaling_group(AutoScalingGroupName=group, MinSize=3)
    assert len(account.members(group)) == 3
    account.asg.update_auto_scaling_group(AutoScalingGroupName=group, MinSize=0, MaxSize=1)
    assert len(account.members(group)) == 1


def test_members_on_their_way_out_do_not_count_when_bounds_change(account: Any) -> None:
    hook = {"LifecycleHookName": "drain", "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING", "HeartbeatTimeout": 60}
    group = account.scaling_group(account.template(), 3, LifecycleHookSpecificationList=[hook])
    account.asg.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=1)
    account.asg.update_auto_scaling_group(AutoScalingGroupName=group, MinSize=2)
    assert sorted(member["LifecycleState"] for member in account.members(group)) == 2 * ["InService"] + 2 * ["Terminating:Wait"]


def test_a_new_template_version_touches_no_machine(account: Any) -> None:
    template = account.template()
    group = account.scaling_group(template, 2, version="1")
    before = account.members(group)
    version = account.new_version(template, "c2Vjb25k")
    account.asg.update_auto_scaling_group(AutoScalingGroupName=group, LaunchTemplate={"LaunchTemplateId": template, "Version": version})
    assert account.members(group) == before


def test_terminating_a_member_with_decrement_shrinks_the_group(account: Any) -> None:
    group = account.scaling_group(account.template(), 3, MinSize=2)
    first, second, _ = (member["InstanceId"] for member in account.members(group))
    account.asg.terminate_instance_in_auto_scaling_group(InstanceId=first, ShouldDecrementDesiredCapacity=True)
    assert len(account.members(group)) == 2
    with pytest.raises(ClientError, match="at its minSize 2"):
        account.asg.terminate_instance_in_auto_scaling_group(InstanceId=second, ShouldDecrementDesiredCapacity=True)
    account.asg.terminate_instance_in_auto_scaling_group(InstanceId=second, ShouldDecrementDesiredCapacity=False)
    assert len(account.members(group)) == 2
    assert second not in {member["InstanceId"] for member in account.members(group)}


def test_an_unhealthy_member_is_replaced(account: Any) -> None:
    group = account.scaling_group(account.template(), 2)
    sick = account.members(group)[0]["InstanceId"]
    account.asg.set_instance_health(InstanceId=sick, HealthStatus="Unhealthy")
    assert len(account.members(group)) == 2
    assert sick not in {member["InstanceId"] for member in account.members(group)}


def test_a_young_member_is_not_replaced_for_bad_health_unless_told_so(account: Any) -> None:
    group = account.scaling_group(account.template(), 1, HealthCheckGracePeriod=300)
    young = account.members(group)[0]["InstanceId"]
    account.asg.set_instance_health(InstanceId=young, HealthStatus="Unhealthy")
    assert account.members(group)[0]["InstanceId"] == young
    account.asg.set_instance_health(InstanceId=young, HealthStatus="Unhealthy", ShouldRespectGracePeriod=False)
    assert account.members(group)[0]["InstanceId"] != young


def test_a_group_with_members_goes_only_by_force_and_takes_them_along(account: Any) -> None:
    hook = {"LifecycleHookName": "drain", "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING"}
    group = account.scaling_group(account.template(), 2, MinSize=2, LifecycleHookSpecificationList=[hook])
    names = {member["InstanceId"] for member in account.members(group)}
    with pytest.raises(ClientError, match="ForceDelete"):
        account.asg.delete_auto_scaling_group(AutoScalingGroupName=group)
    account.asg.delete_auto_scaling_group(AutoScalingGroupName=group, ForceDelete=True)
    assert {machine.state for machine in account.cloud.instances() if machine.id in names} == {"terminated"}
    assert account.asg.describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"] == []
    assert account.asg.describe_lifecycle_hooks(AutoScalingGroupName=group)["LifecycleHooks"] == []


def test_a_group_that_cannot_launch_is_not_created_and_leaves_no_machine(account: Any) -> None:
    before = len(account.cloud.instances())
    template = account.template(SecurityGroupIds=["sg-0123456789abcdef0"])
    with pytest.raises(ClientError, match="sg-0123456789abcdef0"):
        account.scaling_group(template, 2)
    assert len(account.cloud.instances()) == before


def test_a_scaling_policy_is_stored(account: Any) -> None:
    group = account.scaling_group(account.template(), 1)
    tracking = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"}, "TargetValue": 50.0}
    account.asg.put_scaling_policy(
        AutoScalingGroupName=group, PolicyName="cpu", PolicyType="TargetTrackingScaling", TargetTrackingConfiguration=tracking
    )
    (policy,) = account.asg.describe_policies(AutoScalingGroupName=group)["ScalingPolicies"]
    assert policy["TargetTrackingConfiguration"]["TargetValue"] == 50.0
