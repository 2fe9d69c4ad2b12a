"""The row of volumes; machines attach them themselves."""

from typing import Any

from local.provider.ec2 import ec2_row, tag_specification
from local.provider.row import Call, Properties


def _create_volume(call: Call) -> str:
    made = call.client("ec2").create_volume(
        **call.given("availabilityZone", "size", "encrypted", "kmsKeyId", "iops", "throughput", "snapshotId"),
        VolumeType=call.inputs.get("type", "gp2"),
        TagSpecifications=tag_specification(call, "volume"),
    )
    return str(made["VolumeId"])


def _update_volume(call: Call) -> None:
    names = {"size": "Size", "type": "VolumeType", "iops": "Iops", "throughput": "Throughput"}
    arguments = {names[name]: call.inputs[name] for name in call.changed & names.keys() if call.inputs.get(name) is not None}
    if arguments:
        call.client("ec2").modify_volume(VolumeId=call.id, **arguments)


def _volume_outputs(_: Call, volume: dict[str, Any]) -> Properties:
    return {
        "availabilityZone": volume["AvailabilityZone"],
        "createTime": volume["CreateTime"].isoformat(),
        "encrypted": volume.get("Encrypted", False),
        "size": volume["Size"],
        "type": volume.get("VolumeType", "gp2"),
        "snapshotId": volume.get("SnapshotId", ""),
    }


ROWS = (
    ec2_row(
        "aws:ebs/volume:Volume",
        "volume",
        create=_create_volume,
        describe=("describe_volumes", "VolumeIds", "Volumes"),
        outputs=_volume_outputs,
        update=_update_volume,
        delete=lambda call: call.client("ec2").delete_volume(VolumeId=call.id),
        replace={"availabilityZone", "encrypted", "kmsKeyId", "snapshotId", "multiAttachEnabled", "region"},
    ),
)
