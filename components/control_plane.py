"""The control planes: two machines at fixed addresses, each in its own zone where there are two."""

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
    user_data: Input[str]
    settings: MachineSettings
    tags: StackTags


class ControlPlane(pulumi.ComponentResource):
    """Two fixed machines, replaced one after the other."""

    addresses: list[str]
    """Addresses of the xDS servers."""
    instance_ids: list[Output[str]]
    """Ids of the instances, in the order of the addresses."""

    def __init__(self, name: str, args: ControlPlaneArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:control_plane:ControlPlane", name, {}, opts)
        machines: list[FixedMachine] = []
        for number, address in enumerate(addresses([zone.ranges for zone in args.zones])):
            machines.append(
                FixedMachine(
                    f"{name}-{number}",
                    FixedMachineArgs(
                        zone=args.zones[number % len(args.zones)],
                        address=address,
                        role=Role.CONTROL_PLANE,
                        service=SERVICE,
                        user_data=args.user_data,
                        settings=args.settings,
                        tags=args.tags,
                        after=[machine.instance for machine in machines],
                    ),
                    opts=ResourceOptions(parent=self),
                )
            )
        self.addresses = [machine.address for machine in machines]
        self.instance_ids = [machine.instance_id for machine in machines]
        self.register_outputs({"addresses": self.addresses, "instance_ids": self.instance_ids})
