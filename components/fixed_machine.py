"""A machine whose address is known before it exists and stays when it is replaced."""

from dataclasses import dataclass, field
from ipaddress import IPv4Address

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components.data_volume import DEVICE
from components.machine_settings import MachineSettings, auto_recovery, metadata_options, root_disk
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
    settings: MachineSettings
    tags: StackTags
    after: list[pulumi.Resource] = field(default_factory=list)
    """Machines that must be through with their own replacement first."""
    volume_id: Input[str] | None = None
    """Data volume of the zone that the machine has attached."""


class FixedMachine(pulumi.ComponentResource):
    """A network interface that keeps the address, and the instance that has it as its only one.

    Only one machine can hold the interface, so a replacement ends the old instance before it makes the new one. A data
    volume is on one machine at a time as well: it is taken off the stopped old one, and the new one's agent waits for it.
    """

    address: str
    """Private IPv4 address, known without any output."""
    instance_id: Output[str]
    """Id of the instance that has the address now."""
    instance: aws.ec2.Instance
    """The instance, for others to wait for."""

    def __init__(self, name: str, args: FixedMachineArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:fixed_machine:FixedMachine", name, {}, opts)
        tags = args.tags.of_machine(name, args.role, args.service)
        interface = aws.ec2.NetworkInterface(
            f"{name}-interface",
            subnet_id=args.zone.fixed.id,
            private_ips=[str(args.address)],
            security_groups=list(args.settings.security_groups),
            description=f"{args.tags.stack} {name}",
            tags=tags,
            # The address is the interface's own: a second interface cannot have it before the first is gone.
            opts=ResourceOptions(parent=self, delete_before_replace=True),
        )
        self.instance = aws.ec2.Instance(
            f"{name}-instance",
            ami=args.settings.ami,
            instance_type=args.settings.instance_type,
            iam_instance_profile=args.settings.profile_name,
            primary_network_interface=aws.ec2.InstancePrimaryNetworkInterfaceArgs(network_interface_id=interface.id),
            user_data=args.user_data,
            user_data_replace_on_change=True,
            metadata_options=metadata_options(),
            root_block_device=root_disk(tags),
            maintenance_options=auto_recovery(),
            # No group would make it again: EC2 refuses to terminate it for anybody but Pulumi.
            disable_api_termination=True,
            force_destroy=True,
            tags=tags,
            opts=ResourceOptions(parent=self, delete_before_replace=True, depends_on=[*args.settings.ready, *args.after]),
        )
        if args.volume_id is not None:
            aws.ec2.VolumeAttachment(
                f"{name}-attachment",
                instance_id=self.instance.id,
                volume_id=args.volume_id,
                device_name=DEVICE,
                stop_instance_before_detaching=True,
                opts=ResourceOptions(parent=self, delete_before_replace=True),
            )
        self.address, self.instance_id = str(args.address), self.instance.id
        self.register_outputs({"address": self.address, "instance_id": self.instance_id})
