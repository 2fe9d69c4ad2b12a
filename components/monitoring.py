"""The monitoring machine: Prometheus, Grafana and Alertmanager at a fixed address; the samples are on a volume that outlives it."""

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


def place(zones: list[Zone]) -> Zone:
    """Its zone: the second where there is one, away from the database."""
    return zones[1 % len(zones)]


def address(ranges: list[subnets.ZoneSubnets]) -> IPv4Address:
    """The monitoring machine's address, known from the network's plan alone."""
    return subnets.fixed_address(ranges[1 % len(ranges)].fixed, HOST)


@dataclass(frozen=True, kw_only=True)
class MonitoringArgs:
    zone: Zone
    """The data volume's zone."""
    user_data: Input[str]
    settings: MachineSettings
    tags: StackTags


class Monitoring(pulumi.ComponentResource):
    """One fixed machine; nothing from outside reaches it, operators forward a port by Session Manager."""

    address: str
    """Address of Prometheus, Grafana and Alertmanager."""
    group_name: Output[str]
    """Name of the Auto Scaling group."""

    def __init__(self, name: str, args: MonitoringArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:monitoring:Monitoring", name, {}, opts)
        machine = FixedMachine(
            name,
            FixedMachineArgs(
                zone=args.zone,
                address=address([args.zone.ranges]),
                role=Role.MONITORING,
                service=SERVICE,
                user_data=args.user_data,
                settings=args.settings,
                tags=args.tags,
            ),
            opts=ResourceOptions(parent=self),
        )
        self.address, self.group_name = machine.address, machine.group_name
        self.register_outputs({"address": self.address, "group_name": self.group_name})
