"""The machines of one service: a launch template and the Auto Scaling group that launches from it."""

import base64
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components.machine_settings import NO_HOPS, ROOT_DEVICE, ROOT_DISK_GIB, MachineSettings
from components.network import Zone
from components.tags import StackTags
from model.contract import Role

HOOK_SECONDS = 120
"""Longest that a machine waits in a lifecycle hook; then it goes on, so a dead control plane holds up nothing for good."""
DRAIN_HOOK = "drain"
"""Holds a machine that is to end while the mesh stops sending to it; a control plane completes it."""
READY_HOOK = "ready"
"""Holds a new machine until its sidecar and app are ready; a control plane completes it."""
REFRESH_AT_LEAST = 100
"""Percent of the wanted machines that serve at any time of a refresh."""
REFRESH_AT_MOST = 150
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
    """A launch template, an Auto Scaling group over the private subnets, and its scaling policy.

    A changed template rolls the group by an instance refresh; the number of machines within the bounds is the
    policy's and the operator's, never the program's.
    """

    group_name: Output[str]
    """Name of the Auto Scaling group."""

    def __init__(self, name: str, args: ServiceGroupArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:service_group:ServiceGroup", name, {}, opts)
        self._name, self._args = name, args
        self._tags = args.tags.of_machine(args.service, Role.SERVICE, args.service)
        template = self._template()
        group = self._group(template)
        self._scaling(group)
        self.group_name = group.name
        self.register_outputs({"group_name": self.group_name})

    def _template(self) -> aws.ec2.LaunchTemplate:
        settings = self._args.settings
        return aws.ec2.LaunchTemplate(
            f"{self._name}-template",
            image_id=settings.ami,
            instance_type=settings.instance_type,
            iam_instance_profile=aws.ec2.LaunchTemplateIamInstanceProfileArgs(arn=settings.profile_arn),
            vpc_security_group_ids=list(settings.security_groups),
            user_data=Output.from_input(self._args.user_data).apply(lambda text: base64.b64encode(text.encode()).decode()),
            metadata_options=aws.ec2.LaunchTemplateMetadataOptionsArgs(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=NO_HOPS
            ),
            block_device_mappings=[
                aws.ec2.LaunchTemplateBlockDeviceMappingArgs(
                    device_name=ROOT_DEVICE,
                    ebs=aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                        volume_type="gp3", volume_size=ROOT_DISK_GIB, encrypted="true", delete_on_termination="true"
                    ),
                )
            ],
            tag_specifications=[aws.ec2.LaunchTemplateTagSpecificationArgs(resource_type="volume", tags=self._tags)],
            update_default_version=True,
            tags=self._tags,
            opts=ResourceOptions(parent=self),
        )

    def _group(self, template: aws.ec2.LaunchTemplate) -> aws.autoscaling.Group:
        preferences = aws.autoscaling.GroupInstanceRefreshPreferencesArgs(
            min_healthy_percentage=REFRESH_AT_LEAST,
            max_healthy_percentage=REFRESH_AT_MOST,
            # A machine in service has passed the `ready` hook.
            instance_warmup="0",
        )
        return aws.autoscaling.Group(
            f"{self._name}-group",
            min_size=self._args.fewest,
            max_size=self._args.most,
            desired_capacity=self._args.fewest,
            vpc_zone_identifiers=[zone.private.id for zone in self._args.zones],
            launch_template=aws.autoscaling.GroupLaunchTemplateArgs(
                id=template.id, version=template.latest_version.apply(lambda version: str(int(version)))
            ),
            health_check_type="EC2",
            # A hook of its own would miss the first launches.
            initial_lifecycle_hooks=[
                _hook(READY_HOOK, "autoscaling:EC2_INSTANCE_LAUNCHING"),
                _hook(DRAIN_HOOK, "autoscaling:EC2_INSTANCE_TERMINATING"),
            ],
            instance_refresh=aws.autoscaling.GroupInstanceRefreshArgs(strategy="Rolling", preferences=preferences),
            # `./mesh status` and `smoke` wait for machines and say what they wait for; an `up` does not hang on a bad image.
            wait_for_capacity_timeout="0",
            tags=[
                aws.autoscaling.GroupTagArgs(key=key, value=value, propagate_at_launch=True) for key, value in sorted(self._tags.items())
            ],
            opts=ResourceOptions(parent=self, ignore_changes=["desired_capacity"], depends_on=list(self._args.settings.ready)),
        )

    def _scaling(self, group: aws.autoscaling.Group) -> None:
        metric = aws.autoscaling.PolicyTargetTrackingConfigurationPredefinedMetricSpecificationArgs(
            predefined_metric_type="ASGAverageCPUUtilization"
        )
        aws.autoscaling.Policy(
            f"{self._name}-cpu",
            autoscaling_group_name=group.name,
            policy_type="TargetTrackingScaling",
            target_tracking_configuration=aws.autoscaling.PolicyTargetTrackingConfigurationArgs(
                predefined_metric_specification=metric, target_value=CPU_TARGET_PERCENT
            ),
            opts=ResourceOptions(parent=self),
        )


def _hook(name: str, transition: str) -> aws.autoscaling.GroupInitialLifecycleHookArgs:
    return aws.autoscaling.GroupInitialLifecycleHookArgs(
        name=name, lifecycle_transition=transition, heartbeat_timeout=HOOK_SECONDS, default_result="CONTINUE"
    )
