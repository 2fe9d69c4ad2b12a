"""What the local cloud holds, in the words of the machine host: read from moto's objects, copied, cheap."""

import base64
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from model.contract import TAG_ADDRESS, TAG_ROLE, TAG_SERVICE, TAG_STACK


@dataclass(frozen=True)
class MachineInstance:
    """An EC2 instance as the machine host sees it."""

    id: str
    state: str
    """`running` from launch on, `stopped`, or `terminated` (kept for two minutes)."""
    private_address: IPv4Address
    """The primary one. Also of a terminated instance: the address it had."""
    region: str
    zone: str
    subnet_id: str
    launched_by: str | None
    """The name of its Auto Scaling group."""
    lifecycle: str | None
    """The group's word for it (`Pending:Wait`, `InService`, `Terminating:Wait`, …); None outside groups."""
    template_version: str | None
    """Version of the launch template that it was launched from."""
    tags: dict[str, str]
    user_data: bytes = field(repr=False)
    elastic_addresses: tuple[IPv4Address, ...]
    iam_profile_arn: str | None

    @property
    def address(self) -> IPv4Address:
        """Where the machine is reached: its fixed address where it has one."""
        return IPv4Address(self.tags.get(TAG_ADDRESS) or self.private_address)

    @property
    def stack(self) -> str:
        return self.tags.get(TAG_STACK, "")

    @property
    def role(self) -> str:
        return self.tags.get(TAG_ROLE, "")

    @property
    def service(self) -> str:
        return self.tags.get(TAG_SERVICE, "")


@dataclass(frozen=True)
class ElasticAddress:
    """An elastic address of the account."""

    allocation_id: str
    address: IPv4Address
    instance_id: str | None
    """Whose machine listens on it now."""
    tags: dict[str, str]


def instances(ec2: Any, autoscaling: Any) -> list[MachineInstance]:
    members = {state.instance.id: state for group in autoscaling.autoscaling_groups.values() for state in group.instance_states}
    return [_instance(ec2, found, members.get(found.id)) for r in ec2.reservations.values() for found in r.instances]


def elastic_addresses(ec2: Any) -> list[ElasticAddress]:
    return [
        ElasticAddress(
            allocation_id=eip.allocation_id,
            address=IPv4Address(eip.public_ip),
            instance_id=eip.instance.id if eip.instance else None,
            tags=_tags(ec2, eip.allocation_id),
        )
        for eip in ec2.addresses
    ]


def _instance(ec2: Any, found: Any, member: Any) -> MachineInstance:
    tags = _tags(ec2, found.id)
    return MachineInstance(
        id=found.id,
        state=found.state,
        private_address=IPv4Address(found.last_address),
        region=ec2.region_name,
        zone=found.placement.zone,
        subnet_id=found.subnet_id,
        launched_by=tags.get("aws:autoscaling:groupName"),
        lifecycle=member.lifecycle_state if member else None,
        template_version=tags.get("aws:ec2launchtemplate:version"),
        tags=tags,
        user_data=base64.b64decode(found.user_data.as_bytes()) if found.user_data else b"",
        elastic_addresses=tuple(IPv4Address(eip.public_ip) for eip in ec2.addresses if eip.instance is found),
        iam_profile_arn=(found.iam_instance_profile or {}).get("Arn"),
    )


def _tags(ec2: Any, resource: str) -> dict[str, str]:
    return dict(ec2.tags.get(resource, {}))
