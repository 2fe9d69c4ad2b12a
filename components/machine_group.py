"""A launch template and the Auto Scaling group that launches from it: how every machine of a mesh comes to be, and comes back."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components.machine_settings import NO_HOPS, ROOT_DEVICE, ROOT_DISK_GIB, MachineSettings
from components.tags import StackTags
from model.contract import TAG_ADDRESS, Role

HOOK_SECONDS = 120
"""Longest that a machine waits in a lifecycle hook; then it goes on, so a dead control plane holds up nothing for good."""
DRAIN_HOOK = "drain"
"""Holds a machine that is to end while others take over from it; a control plane completes it."""
READY_HOOK = "ready"
"""Holds a new machine until its programs are ready; a control plane completes it."""


@dataclass(frozen=True, kw_only=True)
class Refresh:
    """In which order a changed template replaces machines, in percent of the wanted ones."""

    at_least: int
    """In service at any time."""
    at_most: int
    """In service or starting; above 100 a new machine is launched before an old one ends."""


ROLL = Refresh(at_least=100, at_most=150)
"""A group's machines in turn, none of them missing."""
LAUNCH_FIRST = Refresh(at_least=100, at_most=200)
"""For a group of one whose successor works beside it."""
TERMINATE_FIRST = Refresh(at_least=0, at_most=100)
"""For a group of one whose address or volume only one machine can have."""


@dataclass(frozen=True, kw_only=True)
class MachineGroupArgs:
    role: Role
    service: str
    """Second part of the node id."""
    subnets: Sequence[Input[str]]
    """Ids of the subnets that it spreads over."""
    fewest: int
    most: int
    refresh: Refresh
    hooks: bool
    """Whether control planes hold its machines until they are ready, and until others have taken over from them."""
    user_data: Input[str]
    settings: MachineSettings
    tags: StackTags
    public: bool = False
    """Whether its machines have public addresses."""
    address: IPv4Address | None = None
    """The address that its one machine claims; it is taken from nobody."""


class MachineGroup(pulumi.ComponentResource):
    """A launch template and an Auto Scaling group; a terminated machine is replaced, a changed template replaces all by a refresh.

    How many machines there are within the bounds is not the program's business once the group is made.
    """

    group_name: Output[str]
    """Name of the Auto Scaling group."""

    def __init__(self, name: str, args: MachineGroupArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:machine_group:MachineGroup", name, {}, opts)
        self._name, self._args = name, args
        self._tags = args.tags.of_machine(name, args.role, args.service)
        self.group_name = self._group(self._template()).name
        self.register_outputs({"group_name": self.group_name})

    def _template(self) -> aws.ec2.LaunchTemplate:
        settings = self._args.settings
        groups = list(settings.security_groups)
        return aws.ec2.LaunchTemplate(
            f"{self._name}-template",
            image_id=settings.ami,
            instance_type=settings.instance_type,
            iam_instance_profile=aws.ec2.LaunchTemplateIamInstanceProfileArgs(arn=settings.profile_arn),
            # EC2 takes a wish for a public address with an interface alone, and then the groups there too.
            vpc_security_group_ids=None if self._args.public else groups,
            network_interfaces=[_public_interface(groups)] if self._args.public else None,
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
            tag_specifications=[
                aws.ec2.LaunchTemplateTagSpecificationArgs(resource_type=kind, tags=self._tags) for kind in ("volume", "network-interface")
            ],
            update_default_version=True,
            tags=self._tags,
            opts=ResourceOptions(parent=self),
        )

    def _group(self, template: aws.ec2.LaunchTemplate) -> aws.autoscaling.Group:
        args = self._args
        preferences = aws.autoscaling.GroupInstanceRefreshPreferencesArgs(
            min_healthy_percentage=args.refresh.at_least,
            max_healthy_percentage=args.refresh.at_most,
            # A machine in service has passed the `ready` hook, or is one of its kind.
            instance_warmup="0",
        )
        # A hook of its own would miss the first launches.
        hooks = [_hook(READY_HOOK, "autoscaling:EC2_INSTANCE_LAUNCHING"), _hook(DRAIN_HOOK, "autoscaling:EC2_INSTANCE_TERMINATING")]
        return aws.autoscaling.Group(
            f"{self._name}-group",
            min_size=args.fewest,
            max_size=args.most,
            desired_capacity=args.fewest,
            vpc_zone_identifiers=list(args.subnets),
            launch_template=aws.autoscaling.GroupLaunchTemplateArgs(
                id=template.id, version=template.latest_version.apply(lambda version: str(int(version)))
            ),
            health_check_type="EC2",
            initial_lifecycle_hooks=hooks if args.hooks else None,
            instance_refresh=aws.autoscaling.GroupInstanceRefreshArgs(strategy="Rolling", preferences=preferences),
            # `./mesh status` and `smoke` wait for machines and say what they wait for; an `up` does not hang on a bad image.
            wait_for_capacity_timeout="0",
            # Whoever deletes a fixed machine's group deletes the machine: its `drain` hook would wait for a successor.
            force_delete=args.address is not None,
            tags=[
                aws.autoscaling.GroupTagArgs(key=key, value=value, propagate_at_launch=True)
                for key, value in sorted(self._machine_tags().items())
            ],
            opts=ResourceOptions(parent=self, ignore_changes=["desired_capacity"], depends_on=list(args.settings.ready)),
        )

    def _machine_tags(self) -> dict[str, str]:
        """A fixed address is told by a tag, since a machine's primary address is another one."""
        return self._tags if self._args.address is None else {**self._tags, TAG_ADDRESS: str(self._args.address)}


def _public_interface(groups: list[Input[str]]) -> aws.ec2.LaunchTemplateNetworkInterfaceArgs:
    return aws.ec2.LaunchTemplateNetworkInterfaceArgs(
        device_index=0, associate_public_ip_address="true", delete_on_termination="true", security_groups=groups
    )


def _hook(name: str, transition: str) -> aws.autoscaling.GroupInitialLifecycleHookArgs:
    return aws.autoscaling.GroupInitialLifecycleHookArgs(
        name=name, lifecycle_transition=transition, heartbeat_timeout=HOOK_SECONDS, default_result="CONTINUE"
    )
