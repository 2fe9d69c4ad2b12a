"""Rows of volumes and of their attachment to machines."""

import zlib
from typing import Any

from local.provider.ec2 import ec2_row, tag_specification
from local.provider.row import Call, Found, Properties, Row


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


def _attachment_id(inputs: Properties) -> str:
    return f"vai-{zlib.crc32('-'.join(inputs[name] for name in ('deviceName', 'instanceId', 'volumeId')).encode())}"


def _volume(call: Call) -> dict[str, Any]:
    return dict(call.client("ec2").describe_volumes(VolumeIds=[call.inputs["volumeId"]])["Volumes"][0])


def _live_attachments(call: Call, volume: dict[str, Any]) -> list[dict[str, Any]]:
    """Attachments to machines that still exist; EC2 ends one with its machine, moto keeps it."""
    machines = [item["InstanceId"] for item in volume["Attachments"] if item.get("InstanceId")]
    if not machines:
        return []
    reservations = call.client("ec2").describe_instances(Filters=[{"Name": "instance-id", "Values": machines}])["Reservations"]
    live = {machine["InstanceId"] for item in reservations for machine in item["Instances"] if machine["State"]["Name"] != "terminated"}
    return [item for item in volume["Attachments"] if item.get("InstanceId") in live]


def _attach(call: Call) -> str:
    """moto attaches one volume to two machines, across zones, and two volumes as one device; EC2 refuses all three."""
    ec2, inputs = call.client("ec2"), call.inputs
    volume = _volume(call)
    live = _live_attachments(call, volume)
    for attachment in volume["Attachments"]:
        if attachment not in live:
            ec2.detach_volume(VolumeId=inputs["volumeId"], InstanceId=attachment["InstanceId"])
    if live:
        raise ValueError(
            f"VolumeInUse: volume {inputs['volumeId']}, to be attached to {inputs['instanceId']} by {call.name}, is attached to "
            f"{live[0]['InstanceId']}; a volume has one machine. Let the old attachment go first (delete_before_replace)"
        )
    machine = ec2.describe_instances(InstanceIds=[inputs["instanceId"]])["Reservations"][0]["Instances"][0]
    zone = machine["Placement"]["AvailabilityZone"]
    if zone != volume["AvailabilityZone"]:
        raise ValueError(
            f"InvalidVolume.ZoneMismatch: volume {inputs['volumeId']} is in {volume['AvailabilityZone']}, machine {inputs['instanceId']} "
            f"in {zone}; {call.name} can attach only within one zone. Put the machine into the volume's zone"
        )
    others = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [inputs["instanceId"]]}])["Volumes"]
    for other in others:
        if any(item["Device"] == inputs["deviceName"] for item in other["Attachments"]):
            raise ValueError(
                f"InvalidParameterValue: {inputs['deviceName']} of machine {inputs['instanceId']} already is {other['VolumeId']}; "
                f"{call.name} needs another device name"
            )
    ec2.attach_volume(VolumeId=inputs["volumeId"], InstanceId=inputs["instanceId"], Device=inputs["deviceName"])
    return _attachment_id(inputs)


def _is_ours(call: Call, attachment: dict[str, Any]) -> bool:
    return bool(attachment["InstanceId"] == call.inputs["instanceId"] and attachment["Device"] == call.inputs["deviceName"])


def _find_attachment(call: Call) -> list[Found]:
    live = _live_attachments(call, _volume(call))
    return [Found(_attachment_id(call.inputs), None) for attachment in live if _is_ours(call, attachment)]


def _read_attachment(call: Call) -> Properties | None:
    return {} if any(_is_ours(call, attachment) for attachment in _live_attachments(call, _volume(call))) else None


def _detach(call: Call) -> None:
    """The machine may have ended before its attachment is deleted."""
    if any(_is_ours(call, attachment) for attachment in _volume(call)["Attachments"]):
        call.client("ec2").detach_volume(VolumeId=call.inputs["volumeId"], InstanceId=call.inputs["instanceId"])


def _keep(_: Call) -> None:
    """`skipDestroy` and its like are notes for a deletion; they change no attachment."""


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
    Row(
        token="aws:ec2/volumeAttachment:VolumeAttachment",
        create=_attach,
        read=_read_attachment,
        update=_keep,
        delete=_detach,
        find=_find_attachment,
        replace=frozenset({"deviceName", "instanceId", "volumeId", "region"}),
    ),
)
