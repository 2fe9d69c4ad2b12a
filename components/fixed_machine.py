"""A machine whose address is known before it exists and stays when it is replaced."""

from dataclasses import dataclass
from ipaddress import IPv4Address

import pulumi
from pulumi import Input, Output, ResourceOptions

from components.machine_group import TERMINATE_FIRST, MachineGroup, MachineGroupArgs
from components.machine_settings import MachineSettings
from components.network import Zone
from components.tags import StackTags
from model.contract import Role


@dataclass(frozen=True, kw_only=True)
class FixedMachineArgs:
    zone: Zone
    """Its place; it stands in the zone's fixed-address subnet."""
    address: IPv4Address
    role: Role
    service: str
    user_data: Input[str]
    """Names the address, and the data volume where there is one; the machine's agent claims both at boot."""
    settings: MachineSettings
    tags: StackTags
    gated: bool = False
    """Whether control planes let it go only when others can do without it."""


class FixedMachine(pulumi.ComponentResource):
    """The only machine of its group; a terminated one is replaced by the group.

    Its address is a secondary one of its network interface, which it claims at boot, as it attaches its data volume. Both
    are free only when the machine before it has ended, so a replacement ends the old one first.
    """

    address: str
    """Private IPv4 address, known without any output."""
    group_name: Output[str]
    """Name of the Auto Scaling group."""

    def __init__(self, name: str, args: FixedMachineArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:fixed_machine:FixedMachine", name, {}, opts)
        group = MachineGroup(
            name,
            MachineGroupArgs(
                role=args.role,
                service=args.service,
                subnets=[args.zone.fixed.id],
                fewest=1,
                most=1,
                refresh=TERMINATE_FIRST,
                hooks=args.gated,
                user_data=args.user_data,
                settings=args.settings,
                tags=args.tags,
                address=args.address,
            ),
            opts=ResourceOptions(parent=self),
        )
        self.address, self.group_name = str(args.address), group.group_name
        self.register_outputs({"address": self.address, "group_name": self.group_name})
