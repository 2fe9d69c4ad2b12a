"""Volumes: attached to one instance of their own zone."""

from collections.abc import Callable
from typing import Any

from local.cloud.errors import ec2_error
from local.cloud.patching import wrap


def install() -> None:
    from moto.ec2.models.elastic_block_store import EBSBackend

    wrap(EBSBackend, "attach_volume", _refuse_second_machine)


def _refuse_second_machine(attach: Callable[..., Any]) -> Callable[..., Any]:
    """moto attaches a volume wherever it is asked to, also to a second instance and across zones; the first one keeps it too."""

    def attach_volume(self: Any, volume_id: str, instance_id: str, device_path: str, delete_on_termination: bool = False) -> Any:
        volume, instance = self.get_volume(volume_id), self.get_instance(instance_id)
        if volume.attachment is not None:
            raise ec2_error("VolumeInUse", f"{volume_id} is already attached to instance {volume.attachment.instance_id}")
        if volume.zone.name != instance.placement.zone:
            places = f"volume {volume_id} is in {volume.zone.name}, instance {instance_id} in {instance.placement.zone}"
            raise ec2_error("InvalidVolume.ZoneMismatch", f"{places}; a volume is attached within its zone")
        if device_path in instance.block_device_mapping:
            raise ec2_error("InvalidParameterValue", f"instance {instance_id} has a volume at {device_path} already; name another device")
        return attach(self, volume_id, instance_id, device_path, delete_on_termination)

    return attach_volume
