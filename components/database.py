"""The database: one machine at a fixed address, whose data is on a volume that outlives it."""

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

SERVICE = "postgres"
HOST = 8
"""Its number in the fixed subnet; control planes have the first ones."""


def address(ranges: list[subnets.ZoneSubnets]) -> IPv4Address:
    """The database's address, known from the network's plan alone."""
    return subnets.fixed_address(ranges[0].fixed, HOST)


@dataclass(frozen=True, kw_only=True)
class DatabaseArgs:
    zone: Zone
    """The data volume's zone."""
    user_data: Input[str]
    settings: MachineSettings
    tags: StackTags


class Database(pulumi.ComponentResource):
    """A fixed machine that attaches the data volume."""

    address: str
    """Address of the sidecar that the mesh reaches Postgres through."""
    group_name: Output[str]
    """Name of the Auto Scaling group."""

    def __init__(self, name: str, args: DatabaseArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:database:Database", name, {}, opts)
        machine = FixedMachine(
            name,
            FixedMachineArgs(
                zone=args.zone,
                address=address([args.zone.ranges]),
                role=Role.DATABASE,
                service=SERVICE,
                user_data=args.user_data,
                settings=args.settings,
                tags=args.tags,
            ),
            opts=ResourceOptions(parent=self),
        )
        self.address, self.group_name = machine.address, machine.group_name
        self.register_outputs({"address": self.address, "group_name": self.group_name})
