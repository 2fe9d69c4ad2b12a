"""What every machine has in common."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pulumi
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
    profile_arn: Input[str]
    """ARN of the instance profile."""
    security_groups: Sequence[Input[str]]
    """Ids of its security groups."""
    ready: Sequence[pulumi.Resource] = field(default_factory=tuple)
    """What must exist before it boots: routes, rules, permissions, parameters."""
