"""The database: one machine at a fixed address, and a data volume that outlives it."""

from dataclasses import dataclass
from ipaddress import IPv4Address

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components import subnets
from components.fixed_machine import FixedMachine, FixedMachineArgs
from components.machine_settings import MachineSettings
from components.network import Zone
from components.tags import StackTags
from model.contract import Role

SERVICE = "postgres"
DEVICE = "/dev/sdf"
"""What EC2's API calls the volume's place; Nitro machines know it by its id."""
HOST = 8
"""Its number in the fixed subnet; control planes have the first ones."""


def address(ranges: list[subnets.ZoneSubnets]) -> IPv4Address:
    """The database's address, known from the network's plan alone."""
    return subnets.fixed_address(ranges[0].fixed, HOST)


@dataclass(frozen=True, kw_only=True)
class DataVolumeArgs:
    zone: Zone
    size_gib: int
    protect_data: bool
    tags: StackTags


class DataVolume(pulumi.ComponentResource):
    """An encrypted disk in one zone. Protected, it survives even `pulumi destroy`."""

    volume_id: Output[str]
    """Id of the volume."""

    def __init__(self, name: str, args: DataVolumeArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:database:DataVolume", name, {}, opts)
        volume = aws.ebs.Volume(
            f"{name}-volume",
            availability_zone=args.zone.name,
            size=args.size_gib,
            type="gp3",
            encrypted=True,
            tags=args.tags.of_machine(name, Role.DATABASE, SERVICE),
            opts=ResourceOptions(parent=self, protect=args.protect_data),
        )
        self.volume_id = volume.id
        self.register_outputs({"volume_id": self.volume_id})


@dataclass(frozen=True, kw_only=True)
class DatabaseArgs:
    zone: Zone
    """The volume's zone."""
    volume_id: Input[str]
    user_data: Input[str]
    settings: MachineSettings
    tags: StackTags


class Database(pulumi.ComponentResource):
    """A fixed machine with the data volume attached.

    A volume is on one machine at a time: a replacement stops the old one, takes the volume off, and only then makes
    the new one, whose agent waits for the volume.
    """

    address: str
    """Address of the sidecar that the mesh reaches Postgres through."""
    instance_id: Output[str]
    """Id of the instance."""

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
        aws.ec2.VolumeAttachment(
            f"{name}-attachment",
            instance_id=machine.instance_id,
            volume_id=args.volume_id,
            device_name=DEVICE,
            stop_instance_before_detaching=True,
            opts=ResourceOptions(parent=self, delete_before_replace=True),
        )
        self.address, self.instance_id = machine.address, machine.instance_id
        self.register_outputs({"address": self.address, "instance_id": self.instance_id})
