"""The built-in token issuer: one machine at a fixed address, for stacks that ask for it."""

from dataclasses import dataclass
from ipaddress import IPv4Address

import pulumi
from pulumi import Input, Output, ResourceOptions

from components import subnets
from components.fixed_machine import FixedMachine, FixedMachineArgs
from components.identity_files import SERVICE
from components.machine_settings import MachineSettings
from components.network import Zone
from components.tags import StackTags
from model.contract import Role

HOST = 7
"""Its number in the fixed subnet."""


def address(ranges: list[subnets.ZoneSubnets]) -> IPv4Address:
    """The issuer's address, in the second zone where there is one."""
    return subnets.fixed_address(ranges[1 % len(ranges)].fixed, HOST)


@dataclass(frozen=True, kw_only=True)
class IdentityProviderArgs:
    zones: list[Zone]
    user_data: Input[str]
    settings: MachineSettings
    tags: StackTags


class IdentityProvider(pulumi.ComponentResource):
    """One fixed machine; only edges reach it, and nothing is lost with it: what it gave out holds by its key in SSM."""

    address: str
    """Address of the issuer."""
    group_name: Output[str]
    """Name of the Auto Scaling group."""

    def __init__(self, name: str, args: IdentityProviderArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:identity_provider:IdentityProvider", name, {}, opts)
        machine = FixedMachine(
            name,
            FixedMachineArgs(
                zone=args.zones[1 % len(args.zones)],
                address=address([zone.ranges for zone in args.zones]),
                role=Role.IDENTITY,
                service=SERVICE,
                user_data=args.user_data,
                settings=args.settings,
                tags=args.tags,
            ),
            opts=ResourceOptions(parent=self),
        )
        self.address, self.group_name = machine.address, machine.group_name
        self.register_outputs({"address": self.address, "group_name": self.group_name})
