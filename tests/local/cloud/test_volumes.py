"""A data volume outlives its machine, and belongs to one machine of its zone at a time."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.components


@pytest.fixture
def volume(account: Any) -> str:
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "mesh:role", "Value": "database"}]}]
    name: str = account.ec2.create_volume(Size=20, AvailabilityZone="eu-central-1a", TagSpecifications=tags)["VolumeId"]
    return name


def test_a_volume_outlives_its_machine_and_goes_to_the_next(account: Any, volume: str) -> None:
    for _ in range(2):
        machine = account.run(SubnetId=account.subnets[0])["InstanceId"]
        account.ec2.attach_volume(VolumeId=volume, InstanceId=machine, Device="/dev/sdf")
        (attachment,) = account.ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Attachments"]
        assert (attachment["InstanceId"], attachment["Device"]) == (machine, "/dev/sdf")
        account.ec2.terminate_instances(InstanceIds=[machine])
    assert account.ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["State"] == "available"


def test_a_volume_is_refused_to_a_second_machine_and_across_zones(account: Any, volume: str) -> None:
    first, second, elsewhere = (account.run(SubnetId=account.subnets[index])["InstanceId"] for index in (0, 0, 1))
    with pytest.raises(ClientError, match="a volume is attached within its zone"):
        account.ec2.attach_volume(VolumeId=volume, InstanceId=elsewhere, Device="/dev/sdf")
    account.ec2.attach_volume(VolumeId=volume, InstanceId=first, Device="/dev/sdf")
    with pytest.raises(ClientError, match=f"already attached to instance {first}"):
        account.ec2.attach_volume(VolumeId=volume, InstanceId=second, Device="/dev/sdf")
