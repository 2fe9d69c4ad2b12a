"""The control planes: two machines at fixed addresses, each in its own zone where there are two."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

import pulumi
from pulumi import Input, Output, ResourceOptions

from components import subnets
from components.fixed_machine import FixedMachine, FixedMachineArgs
from components.machine_settings import MachineSettings
from components.network import Zone
from components.tags import StackTags
from model.contract import Role

REPLICAS = 2
"""One serves while the other is replaced; every Envoy knows both addresses."""
SERVICE = "control-plane"


def addresses(ranges: list[subnets.ZoneSubnets]) -> list[IPv4Address]:
    """The control planes' addresses; bootstraps name them, so they follow from the network's plan alone."""
    return [subnets.fixed_address(ranges[number % len(ranges)].fixed, number // len(ranges)) for number in range(REPLICAS)]


@dataclass(frozen=True, kw_only=True)
class ControlPlaneArgs:
    zones: list[Zone]
    user_data: Sequence[Input[str]]
    """User data of each replica; each names its own address."""
    settings: MachineSettings
    tags: StackTags


class ControlPlane(pulumi.ComponentResource):
    """Fixed machines that let each other go: of those to be replaced one waits until the other's successor serves."""

    addresses: list[str]
    """Addresses of the xDS servers."""
    group_names: list[Output[str]]
    """Names of the Auto Scaling groups, in the order of the addresses."""

    def __init__(self, name: str, args: ControlPlaneArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:control_plane:ControlPlane", name, {}, opts)
        machines = [
            FixedMachine(
                f"{name}-{number}",
                FixedMachineArgs(
                    zone=args.zones[number % len(args.zones)],
                    address=address,
                    role=Role.CONTROL_PLANE,
                    service=SERVICE,
                    user_data=user_data,
                    settings=args.settings,
                    tags=args.tags,
                    gated=True,
                ),
                opts=ResourceOptions(parent=self),
            )
            for number, (address, user_data) in enumerate(zip(addresses([zone.ranges for zone in args.zones]), args.user_data, strict=True))
        ]
        self.addresses = [machine.address for machine in machines]
        self.group_names = [machine.group_name for machine in machines]
        self.register_outputs({"addresses": self.addresses, "group_names": self.group_names})
