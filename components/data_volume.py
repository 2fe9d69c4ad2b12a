"""A data volume: a disk of its own that outlives the machines that attach it."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi import Output, ResourceOptions

from components.network import Zone
from components.tags import StackTags
from model.contract import Role


@dataclass(frozen=True, kw_only=True)
class DataVolumeArgs:
    zone: Zone
    """Zone of the volume, and so of each machine that has it."""
    size_gib: int
    protect_data: bool
    role: Role
    service: str
    tags: StackTags


class DataVolume(pulumi.ComponentResource):
    """An encrypted disk in one zone. Protected, it survives even `pulumi destroy`."""

    volume_id: Output[str]
    """Id of the volume."""

    def __init__(self, name: str, args: DataVolumeArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:data_volume:DataVolume", name, {}, opts)
        volume = aws.ebs.Volume(
            f"{name}-volume",
            availability_zone=args.zone.name,
            size=args.size_gib,
            type="gp3",
            encrypted=True,
            tags=args.tags.of_machine(name, args.role, args.service),
            opts=ResourceOptions(parent=self, protect=args.protect_data),
        )
        self.volume_id = volume.id
        self.register_outputs({"volume_id": self.volume_id})
