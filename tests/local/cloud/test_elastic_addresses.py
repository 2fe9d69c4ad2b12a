"""Elastic addresses in the stack's own range, and who has them."""

from ipaddress import ip_address
from typing import Any

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.components


def test_an_elastic_address_is_the_one_that_was_asked_for(account: Any) -> None:
    assert account.ec2.allocate_address(Domain="vpc", Address="127.77.100.10")["PublicIp"] == "127.77.100.10"
    with pytest.raises(ClientError, match="allocated already"):
        account.ec2.allocate_address(Domain="vpc", Address="127.77.100.10")
    with pytest.raises(ClientError, match=r"not in 127\.77\.0\.0/16"):
        account.ec2.allocate_address(Domain="vpc", Address="192.0.2.1")


def test_an_address_nobody_named_comes_from_the_end_of_the_range(account: Any) -> None:
    assert account.ec2.allocate_address(Domain="vpc")["PublicIp"].startswith("127.77.255.")


def test_an_address_moves_only_when_moving_is_allowed(account: Any) -> None:
    eip = account.ec2.allocate_address(Domain="vpc")
    old, new = (account.run(SubnetId=account.subnets[0])["InstanceId"] for _ in range(2))
    account.ec2.associate_address(AllocationId=eip["AllocationId"], InstanceId=old)
    with pytest.raises(ClientError, match="AlreadyAssociated"):
        account.ec2.associate_address(AllocationId=eip["AllocationId"], InstanceId=new)
    account.ec2.associate_address(AllocationId=eip["AllocationId"], InstanceId=new, AllowReassociation=True)
    held = {machine.id: machine.elastic_addresses for machine in account.cloud.instances()}
    assert (held[old], held[new]) == ((), (ip_address(eip["PublicIp"]),))
    assert "PublicIpAddress" not in account.instance(old)
    assert account.instance(new)["PublicIpAddress"] == eip["PublicIp"]


def test_an_address_of_an_interface_shows_the_machine_that_has_it(account: Any) -> None:
    eip = account.ec2.allocate_address(Domain="vpc")
    made = account.ec2.create_network_interface(SubnetId=account.subnets[1])["NetworkInterface"]
    account.ec2.associate_address(AllocationId=eip["AllocationId"], NetworkInterfaceId=made["NetworkInterfaceId"])
    machine = account.run(NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": made["NetworkInterfaceId"]}])["InstanceId"]
    (known,) = (address for address in account.cloud.elastic_addresses() if address.allocation_id == eip["AllocationId"])
    assert (known.address, known.instance_id) == (ip_address(eip["PublicIp"]), machine)
    assert account.ec2.describe_addresses(AllocationIds=[eip["AllocationId"]])["Addresses"][0]["InstanceId"] == machine


def test_a_terminated_machine_lets_go_of_its_address(account: Any) -> None:
    eip = account.ec2.allocate_address(Domain="vpc")
    first = account.run(SubnetId=account.subnets[0])["InstanceId"]
    account.ec2.associate_address(AllocationId=eip["AllocationId"], InstanceId=first)
    account.ec2.terminate_instances(InstanceIds=[first])
    second = account.run(SubnetId=account.subnets[0])["InstanceId"]
    account.ec2.associate_address(AllocationId=eip["AllocationId"], InstanceId=second)
    account.ec2.terminate_instances(InstanceIds=[second])
    account.ec2.release_address(AllocationId=eip["AllocationId"])


def test_two_regions_never_give_the_same_address(account: Any) -> None:
    far = account.client("ec2", "us-west-2")
    near, other = account.ec2.allocate_address(Domain="vpc")["PublicIp"], far.allocate_address(Domain="vpc")["PublicIp"]
    assert near != other
    assert {str(one.address) for one in account.cloud.elastic_addresses()} >= {near, other}
