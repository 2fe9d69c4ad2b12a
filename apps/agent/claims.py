"""What a machine claims at boot of things that only one machine can have: its fixed address and its data volume.

The machine before it may still have them. They are never taken by force: a claim is repeated until it is free.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from apps.agent.config import AgentConfig
from apps.common.aws import AwsError, aws_client, error_code
from apps.common.errors import MeshError

PAUSE_SECONDS = 2.0
ATTACH_AS = "/dev/sdf"
"""What EC2's API calls the data volume's place; Nitro machines know it by its id."""

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One thing to claim."""

    what: str
    attempt: Callable[[], str | None]
    """Tries once, also when it was claimed before; None when the machine has it, else why not yet."""


def claims(config: AgentConfig, env: Mapping[str, str]) -> list[Claim]:
    """The machine's claims in their order: the volume is worth nothing where the address is another machine's."""
    found: list[Claim] = []
    if config.address:
        found.append(Claim(what=f"address {config.address}", attempt=partial(_claim_address, str(config.address), env)))
    if config.volume:
        found.append(Claim(what=f"volume {config.volume.id}", attempt=partial(_attach_volume, config.volume.id, env)))
    return found


def insist(claim: Claim) -> None:
    """Returns when the machine has what it claims; says once why it has to wait."""
    said: str | None = None
    while (problem := claim.attempt()) is not None:
        if problem != said:
            log.info("cannot claim yet", what=claim.what, reason=problem)
        said = problem
        time.sleep(PAUSE_SECONDS)
    log.info("claimed", what=claim.what)


def _claim_address(address: str, env: Mapping[str, str]) -> str | None:
    """Makes it a secondary private address of the primary interface."""
    ec2 = aws_client("ec2", env)
    try:
        interface = _primary_interface(ec2, env["MESH_INSTANCE_ID"])
        if address not in {item["PrivateIpAddress"] for item in interface["PrivateIpAddresses"]}:
            ec2.assign_private_ip_addresses(
                NetworkInterfaceId=interface["NetworkInterfaceId"], PrivateIpAddresses=[address], AllowReassignment=False
            )
    except AwsError as error:
        return f"{error_code(error)}: {error}"
    return None


def _primary_interface(ec2: Any, instance: str) -> dict[str, Any]:
    (reservation,) = ec2.describe_instances(InstanceIds=[instance])["Reservations"]
    for interface in reservation["Instances"][0]["NetworkInterfaces"]:
        if interface["Attachment"]["DeviceIndex"] == 0:
            return dict(interface)
    raise MeshError(f"instance {instance} has no primary network interface, so it cannot have a fixed address")


def _attach_volume(volume: str, env: Mapping[str, str]) -> str | None:
    ec2, instance = aws_client("ec2", env), env["MESH_INSTANCE_ID"]
    try:
        (found,) = ec2.describe_volumes(VolumeIds=[volume])["Volumes"]
        holders = [item["InstanceId"] for item in found["Attachments"]]
        if instance in holders:
            return None
        if holders:
            return f"it is on {', '.join(holders)}"
        ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device=ATTACH_AS)
    except AwsError as error:
        return f"{error_code(error)}: {error}"
    return None
