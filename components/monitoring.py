"""The monitoring machine: Prometheus, Grafana and Alertmanager at a fixed address."""

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

SERVICE = "monitoring"
HOST = 9
"""Its number in the fixed subnet."""


def address(ranges: list[subnets.ZoneSubnets]) -> IPv4Address:
    """The monitoring machine's address, in the second zone where there is one: away from the database."""
    return subnets.fixed_address(ranges[1 % len(ranges)].fixed, HOST)


@dataclass(frozen=True, kw_only=True)
class MonitoringArgs:
    zones: list[Zone]
    user_data: Input[str]
    settings: MachineSettings
    tags: StackTags


class Monitoring(pulumi.ComponentResource):
    """One fixed machine; nothing from outside reaches it, operators forward a port by Session Manager."""

    address: str
    """Address of Prometheus, Grafana and Alertmanager."""
    instance_id: Output[str]
    """Id of the instance."""

    def __init__(self, name: str, args: MonitoringArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:monitoring:Monitoring", name, {}, opts)
        machine = FixedMachine(
            name,
            FixedMachineArgs(
                zone=args.zones[1 % len(args.zones)],
                address=address([zone.ranges for zone in args.zones]),
                role=Role.MONITORING,
                service=SERVICE,
                user_data=args.user_data,
                settings=args.settings,
                tags=args.tags,
            ),
            opts=ResourceOptions(parent=self),
        )
        self.address, self.instance_id = machine.address, machine.instance_id
        self.register_outputs({"address": self.address, "instance_id": self.instance_id})
