"""Rows of machines: instances and their network interfaces."""

import base64
from typing import Any

from local.provider.ec2 import boto, ec2_row, find_stamped, tag_specification, update_tags
from local.provider.ec2_templates import user_data_failures
from local.provider.row import Call, Failure, Properties, Row

_LIVE = {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}


def _check_user_data(inputs: Properties) -> list[Failure]:
    """Counts what EC2 counts: the bytes before base64."""
    if isinstance(inputs.get("userDataBase64"), str):
        return user_data_failures("userDataBase64", inputs["userDataBase64"], encoded=True)
    if isinstance(inputs.get("userData"), str):
        return user_data_failures("userData", inputs["userData"], encoded=False)
    return []


def _create_instance(call: Call) -> str:
    inputs, ec2 = call.inputs, call.client("ec2")
    arguments: dict[str, Any] = call.given("instanceType", "keyName", "ebsOptimized", "hibernation")
    if inputs.get("ami"):
        arguments["ImageId"] = inputs["ami"]
    if inputs.get("userData"):
        arguments["UserData"] = inputs["userData"]
    if inputs.get("userDataBase64"):
        arguments["UserData"] = base64.b64decode(inputs["userDataBase64"])
    if inputs.get("iamInstanceProfile"):
        arguments["IamInstanceProfile"] = {"Name": inputs["iamInstanceProfile"]}
    if inputs.get("metadataOptions"):
        arguments["MetadataOptions"] = boto(inputs["metadataOptions"])
    if inputs.get("availabilityZone"):
        arguments["Placement"] = {"AvailabilityZone": inputs["availabilityZone"]}
    arguments |= _interface_arguments(call)
    disks = _block_devices(inputs)
    if disks:
        arguments["BlockDeviceMappings"] = disks
    machine_tags = tag_specification(call, "instance")
    volume_tags = inputs.get("volumeTags")
    if volume_tags:
        machine_tags.append({"ResourceType": "volume", "Tags": [{"Key": key, "Value": value} for key, value in volume_tags.items()]})
    made = ec2.run_instances(MinCount=1, MaxCount=1, TagSpecifications=machine_tags, **arguments)
    machine = str(made["Instances"][0]["InstanceId"])
    if inputs.get("disableApiTermination"):
        # RunInstances takes it too, but moto forgets it there.
        ec2.modify_instance_attribute(InstanceId=machine, DisableApiTermination={"Value": True})
    return machine


def _interface_arguments(call: Call) -> dict[str, Any]:
    """An instance has either interfaces of their own or a subnet, groups and perhaps an address that nobody has."""
    inputs = call.inputs
    own = inputs.get("networkInterfaces") or []
    if inputs.get("primaryNetworkInterface"):
        own = [{"deviceIndex": 0, "networkInterfaceId": inputs["primaryNetworkInterface"]["networkInterfaceId"]}]
    if own:
        return {
            "NetworkInterfaces": [{"DeviceIndex": int(nic["deviceIndex"]), "NetworkInterfaceId": nic["networkInterfaceId"]} for nic in own]
        }
    arguments = call.given("subnetId")
    if inputs.get("privateIp"):
        refuse_taken_address(call, inputs["subnetId"], inputs["privateIp"])
        arguments["PrivateIpAddress"] = inputs["privateIp"]
    if inputs.get("associatePublicIpAddress") is not None:
        # EC2 takes it with an interface alone, and then subnet, address and groups there too.
        if inputs.get("vpcSecurityGroupIds"):
            arguments["Groups"] = inputs["vpcSecurityGroupIds"]
        return {"NetworkInterfaces": [{"DeviceIndex": 0, "AssociatePublicIpAddress": inputs["associatePublicIpAddress"], **arguments}]}
    if inputs.get("vpcSecurityGroupIds"):
        arguments["SecurityGroupIds"] = inputs["vpcSecurityGroupIds"]
    return arguments


def refuse_taken_address(call: Call, subnet_id: str, address: str) -> None:
    """moto gives one private address to two interfaces; EC2 answers InvalidIPAddress.InUse."""
    ec2 = call.client("ec2")
    in_subnet = {"Name": "subnet-id", "Values": [subnet_id]}
    reservations = ec2.describe_instances(Filters=[in_subnet, _LIVE])["Reservations"]
    holders = [
        machine["InstanceId"]
        for reservation in reservations
        for machine in reservation["Instances"]
        if machine.get("PrivateIpAddress") == address
    ]
    for interface in ec2.describe_network_interfaces(Filters=[in_subnet])["NetworkInterfaces"]:
        addresses = {item["PrivateIpAddress"] for item in interface.get("PrivateIpAddresses", [])} | {interface.get("PrivateIpAddress")}
        if address in addresses and not interface.get("Attachment", {}).get("InstanceId"):
            holders.append(interface["NetworkInterfaceId"])
    if holders:
        raise ValueError(
            f"InvalidIPAddress.InUse: address {address} in subnet {subnet_id}, asked for by {call.name}, belongs to {', '.join(holders)}; "
            "an address has one holder. Take another one, or let its holder be deleted first (delete_before_replace)"
        )


def _block_devices(inputs: Properties) -> list[dict[str, Any]]:
    devices = []
    root = inputs.get("rootBlockDevice")
    if root:
        devices.append({"DeviceName": "/dev/sda1", "Ebs": _disk(root)})
    devices += [{"DeviceName": disk["deviceName"], "Ebs": _disk(disk)} for disk in inputs.get("ebsBlockDevices", [])]
    return devices


def _disk(disk: Properties) -> dict[str, Any]:
    names = ("volumeSize", "volumeType", "encrypted", "deleteOnTermination", "iops", "throughput", "kmsKeyId", "snapshotId")
    return {name[0].upper() + name[1:]: disk[name] for name in names if name in disk}


def _update_instance(call: Call) -> None:
    ec2, inputs = call.client("ec2"), call.inputs
    if "vpcSecurityGroupIds" in call.changed:
        ec2.modify_instance_attribute(InstanceId=call.id, Groups=inputs.get("vpcSecurityGroupIds", []))
    if "sourceDestCheck" in call.changed:
        ec2.modify_instance_attribute(InstanceId=call.id, SourceDestCheck={"Value": inputs.get("sourceDestCheck", True)})
    if "disableApiTermination" in call.changed:
        ec2.modify_instance_attribute(InstanceId=call.id, DisableApiTermination={"Value": inputs.get("disableApiTermination", False)})
    if "metadataOptions" in call.changed and inputs.get("metadataOptions"):
        ec2.modify_instance_metadata_options(InstanceId=call.id, **boto(inputs["metadataOptions"]))
    if call.old and call.changed & {"instanceType", "userData", "userDataBase64"}:
        _change_stopped(call)


def _change_stopped(call: Call) -> None:
    """EC2 changes type and user data of a stopped machine only, so the real provider stops and starts it."""
    ec2, inputs = call.client("ec2"), call.inputs
    ec2.stop_instances(InstanceIds=[call.id])
    if "instanceType" in call.changed:
        ec2.modify_instance_attribute(InstanceId=call.id, InstanceType={"Value": inputs["instanceType"]})
    if call.changed & {"userData", "userDataBase64"}:
        data = base64.b64decode(inputs["userDataBase64"]) if inputs.get("userDataBase64") else inputs.get("userData", "").encode()
        ec2.modify_instance_attribute(InstanceId=call.id, UserData={"Value": data})
    ec2.start_instances(InstanceIds=[call.id])


def _delete_instance(call: Call) -> None:
    ec2 = call.client("ec2")
    if call.inputs.get("disableApiTermination") and call.inputs.get("forceDestroy"):
        ec2.modify_instance_attribute(InstanceId=call.id, DisableApiTermination={"Value": False})
    for attachment in _attachments_of(call):
        ec2.detach_volume(VolumeId=attachment["VolumeId"], InstanceId=call.id)
    ec2.terminate_instances(InstanceIds=[call.id])


def _attachments_of(call: Call) -> list[dict[str, Any]]:
    """Attachments that outlive the machine: EC2 detaches a volume when its machine ends, moto does not."""
    volumes = call.client("ec2").describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [call.id]}])["Volumes"]
    return [
        attachment
        for volume in volumes
        for attachment in volume["Attachments"]
        if attachment["InstanceId"] == call.id and not attachment.get("DeleteOnTermination")
    ]


def _read_instance(call: Call) -> Properties | None:
    reservations = call.client("ec2").describe_instances(InstanceIds=[call.id])["Reservations"]
    machine = reservations[0]["Instances"][0] if reservations else None
    if machine is None or machine["State"]["Name"] in ("terminated", "shutting-down"):
        return None
    interfaces = machine.get("NetworkInterfaces", [])
    return {
        "arn": call.arn("ec2", f"instance/{call.id}"),
        "ami": machine["ImageId"],
        "availabilityZone": machine["Placement"]["AvailabilityZone"],
        "instanceState": machine["State"]["Name"],
        "instanceType": machine["InstanceType"],
        "primaryNetworkInterfaceId": interfaces[0]["NetworkInterfaceId"] if interfaces else "",
        "privateDns": machine.get("PrivateDnsName", ""),
        "privateIp": machine.get("PrivateIpAddress", ""),
        "publicDns": machine.get("PublicDnsName", ""),
        "publicIp": machine.get("PublicIpAddress", ""),
        "subnetId": machine.get("SubnetId", ""),
        "tenancy": "default",
        "vpcSecurityGroupIds": [group["GroupId"] for group in machine.get("SecurityGroups", [])],
    }


def _update_tagged_instance(call: Call) -> None:
    update_tags(call)
    _update_instance(call)


def _replaced_with(inputs: Properties) -> set[str]:
    return {"userData", "userDataBase64"} if inputs.get("userDataReplaceOnChange") else set()


def _create_interface(call: Call) -> str:
    inputs = call.inputs
    arguments = call.given("subnetId", "description")
    for address in inputs.get("privateIps", []):
        refuse_taken_address(call, inputs["subnetId"], address)
    if inputs.get("privateIps"):
        arguments["PrivateIpAddress"] = inputs["privateIps"][0]
        arguments["PrivateIpAddresses"] = [
            {"PrivateIpAddress": address, "Primary": index == 0} for index, address in enumerate(inputs["privateIps"])
        ]
    if inputs.get("securityGroups"):
        arguments["Groups"] = inputs["securityGroups"]
    made = call.client("ec2").create_network_interface(**arguments, TagSpecifications=tag_specification(call, "network-interface"))
    return str(made["NetworkInterface"]["NetworkInterfaceId"])


def _update_interface(call: Call) -> None:
    ec2 = call.client("ec2")
    if "securityGroups" in call.changed:
        ec2.modify_network_interface_attribute(NetworkInterfaceId=call.id, Groups=call.inputs.get("securityGroups", []))
    if "sourceDestCheck" in call.changed:
        value = {"Value": call.inputs.get("sourceDestCheck", True)}
        ec2.modify_network_interface_attribute(NetworkInterfaceId=call.id, SourceDestCheck=value)


def _delete_interface(call: Call) -> None:
    """An interface whose machine just ended may still be attached to it."""
    ec2 = call.client("ec2")
    interface = ec2.describe_network_interfaces(NetworkInterfaceIds=[call.id])["NetworkInterfaces"][0]
    attachment = interface.get("Attachment", {}).get("AttachmentId")
    if attachment:
        ec2.detach_network_interface(AttachmentId=attachment, Force=True)
    ec2.delete_network_interface(NetworkInterfaceId=call.id)


def _interface_outputs(_: Call, interface: dict[str, Any]) -> Properties:
    return {
        "interfaceType": interface.get("InterfaceType", "interface"),
        "macAddress": interface.get("MacAddress", ""),
        "privateDnsName": interface.get("PrivateDnsName", ""),
        "privateIp": interface.get("PrivateIpAddress", ""),
        "privateIps": [item["PrivateIpAddress"] for item in interface.get("PrivateIpAddresses", [])],
        "securityGroups": [group["GroupId"] for group in interface.get("Groups", [])],
        "sourceDestCheck": interface.get("SourceDestCheck", True),
        "subnetId": interface["SubnetId"],
    }


ROWS = (
    Row(
        token="aws:ec2/instance:Instance",
        create=_create_instance,
        read=_read_instance,
        update=_update_tagged_instance,
        delete=_delete_instance,
        find=find_stamped,
        check=_check_user_data,
        replace=frozenset(
            {
                "ami",
                "associatePublicIpAddress",
                "availabilityZone",
                "ebsBlockDevices",
                "iamInstanceProfile",
                "keyName",
                "networkInterfaces",
                "placementGroup",
                "primaryNetworkInterface",
                "privateIp",
                "rootBlockDevice",
                "subnetId",
                "tenancy",
                "region",
            }
        ),
        replace_if=_replaced_with,
        volatile={"publicIp": frozenset({"instanceType", "userData", "userDataBase64"}), "publicDns": frozenset({"instanceType"})},
    ),
    ec2_row(
        "aws:ec2/networkInterface:NetworkInterface",
        "network-interface",
        create=_create_interface,
        describe=("describe_network_interfaces", "NetworkInterfaceIds", "NetworkInterfaces"),
        outputs=_interface_outputs,
        update=_update_interface,
        delete=_delete_interface,
        replace={"subnetId", "privateIps", "interfaceType", "region"},
    ),
)
