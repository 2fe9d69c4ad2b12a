"""The machines of one service: a group over the private subnets that scales with its load."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components.machine_group import ROLL, MachineGroup, MachineGroupArgs
from components.machine_settings import MachineSettings
from components.network import Zone
from components.tags import StackTags
from model.contract import Role

CPU_TARGET_PERCENT = 60.0


@dataclass(frozen=True, kw_only=True)
class ServiceGroupArgs:
    service: str
    """Name of the service."""
    zones: list[Zone]
    fewest: int
    most: int
    user_data: Input[str]
    settings: MachineSettings
    tags: StackTags


class ServiceGroup(pulumi.ComponentResource):
    """A group of machines over the zones, and its scaling policy."""

    group_name: Output[str]
    """Name of the Auto Scaling group."""

    def __init__(self, name: str, args: ServiceGroupArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:service_group:ServiceGroup", name, {}, opts)
        group = MachineGroup(
            name,
            MachineGroupArgs(
                role=Role.SERVICE,
                service=args.service,
                subnets=[zone.private.id for zone in args.zones],
                fewest=args.fewest,
                most=args.most,
                refresh=ROLL,
                hooks=True,
                user_data=args.user_data,
                settings=args.settings,
                tags=args.tags,
            ),
            opts=ResourceOptions(parent=self),
        )
        metric = aws.autoscaling.PolicyTargetTrackingConfigurationPredefinedMetricSpecificationArgs(
            predefined_metric_type="ASGAverageCPUUtilization"
        )
        aws.autoscaling.Policy(
            f"{name}-cpu",
            autoscaling_group_name=group.group_name,
            policy_type="TargetTrackingScaling",
            target_tracking_configuration=aws.autoscaling.PolicyTargetTrackingConfigurationArgs(
                predefined_metric_specification=metric, target_value=CPU_TARGET_PERCENT
            ),
            opts=ResourceOptions(parent=self),
        )
        self.group_name = group.group_name
        self.register_outputs({"group_name": self.group_name})
