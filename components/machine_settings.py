"""What every machine has in common, whether Pulumi or a group launches it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_aws as aws
from pulumi import Input

ROOT_DISK_GIB = 16
ROOT_DEVICE = "/dev/sda1"
"""Root device of Ubuntu's images."""
NO_HOPS = 1
"""Answers of the metadata service do not leave the machine: containers share the host's network, so they need no hop."""


@dataclass(frozen=True, kw_only=True)
class MachineSettings:
    """Image, size, identity and fences of a machine."""

    ami: str
    instance_type: str
    profile_name: Input[str]
    """Name of the instance profile."""
    profile_arn: Input[str]
    """ARN of the instance profile."""
    security_groups: Sequence[Input[str]]
    """Ids of its security groups."""
    ready: Sequence[pulumi.Resource] = field(default_factory=tuple)
    """What must exist before it boots: routes, rules, permissions, parameters."""


def metadata_options() -> aws.ec2.InstanceMetadataOptionsArgs:
    """IMDSv2 only, for instances."""
    return aws.ec2.InstanceMetadataOptionsArgs(http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=NO_HOPS)


def root_disk(tags: dict[str, str]) -> aws.ec2.InstanceRootBlockDeviceArgs:
    """An encrypted disk, for instances."""
    return aws.ec2.InstanceRootBlockDeviceArgs(
        volume_type="gp3", volume_size=ROOT_DISK_GIB, encrypted=True, delete_on_termination=True, tags=tags
    )


def auto_recovery() -> aws.ec2.InstanceMaintenanceOptionsArgs:
    """EC2 moves the machine, with its address and volumes, off failed hardware."""
    return aws.ec2.InstanceMaintenanceOptionsArgs(auto_recovery="default")
