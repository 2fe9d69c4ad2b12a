"""Launch templates, zones and addresses: what a machine gets when it starts and gives back when it ends."""

from collections import Counter
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.components


def test_an_account_begins_with_no_vpc_and_no_image(account: Any) -> None:
    assert [vpc["VpcId"] for vpc in account.ec2.describe_vpcs()["Vpcs"]] == [account.vpc]
    assert account.ec2.describe_images()["Images"] == []
    assert len(account.ec2.describe_snapshots()["Snapshots"]) == 0


def test_a_pinned_image_is_known_when_it_is_asked_for(account: Any) -> None:
    (image,) = account.ec2.describe_images(ImageIds=["ami-0fedcba9876543210"])["Images"]
    assert (image["ImageId"], image["Architecture"], image["State"]) == ("ami-0fedcba9876543210", "x86_64", "available")


def test_a_group_launches_from_a_second_version_with_user_data(account: Any) -> None:
    template = account.template("Zmlyc3Q=")
    group = account.scaling_group(template, 1)
    account.new_version(template, "c2Vjb25k")
    account.asg.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=2)
    machines = {m.template_version: m for m in account.cloud.instances() if m.launched_by == group}
    assert {version: m.user_data for version, m in machines.items()} == {"1": b"first", "2": b"second"}


def test_a_group_launches_from_the_version_that_it_names(account: Any) -> None:
    template = account.template()
    account.new_version(template, "c2Vjb25k")
    versions = {
        name: [member["LaunchTemplate"]["Version"] for member in account.members(account.scaling_group(template, 1, version=name))]
        for name in ("$Latest", "$Default", "1", "2")
    }
    assert versions == {"$Latest": ["2"], "$Default": ["1"], "1": ["1"], "2": ["2"]}


def test_each_member_shows_its_own_template_version(account: Any) -> None:
    template = account.template()
    group = account.scaling_group(template, 1)
    account.new_version(template, "c2Vjb25k")
    account.asg.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=2)
    names = [member["InstanceId"] for member in account.members(group)]
    shown = account.asg.describe_auto_scaling_instances(InstanceIds=names)["AutoScalingInstances"]
    assert sorted(instance["LaunchTemplate"]["Version"] for instance in shown) == ["1", "2"]


def test_members_get_everything_that_the_template_says(account: Any) -> None:
    account.iam.create_instance_profile(InstanceProfileName="machine")
    template = account.template(
        SecurityGroupIds=[],
        IamInstanceProfile={"Name": "machine"},
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        NetworkInterfaces=[{"DeviceIndex": 0, "Groups": [account.group]}],
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": "mesh:role", "Value": "service"}]},
            {"ResourceType": "volume", "Tags": [{"Key": "of", "Value": "machine"}]},
            {"ResourceType": "network-interface", "Tags": [{"Key": "of", "Value": "machine"}]},
        ],
        BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 12, "DeleteOnTermination": True}}],
    )
    tags = [{"Key": "mesh:stack", "Value": "local", "PropagateAtLaunch": True}, {"Key": "other", "Value": "x", "PropagateAtLaunch": False}]
    group = account.scaling_group(template, 1, Tags=tags)
    shown = account.instance(account.members(group)[0]["InstanceId"])
    assert shown["IamInstanceProfile"]["Arn"].endswith(":instance-profile/machine")
    assert shown["MetadataOptions"]["HttpTokens"] == "required"
    assert [entry["GroupId"] for entry in shown["SecurityGroups"]] == [account.group]
    assert {"mesh:role", "mesh:stack"} <= {tag["Key"] for tag in shown["Tags"]}
    assert "other" not in {tag["Key"] for tag in shown["Tags"]}
    (machine,) = (m for m in account.cloud.instances() if m.id == shown["InstanceId"])
    assert (machine.role, machine.stack, machine.iam_profile_arn) == ("service", "local", shown["IamInstanceProfile"]["Arn"])
    of_machine = [{"Name": "tag:of", "Values": ["machine"]}]
    (volume,) = account.ec2.describe_volumes(Filters=of_machine)["Volumes"]
    assert (volume["Attachments"][0]["Device"], volume["AvailabilityZone"]) == ("/dev/sda1", machine.zone)
    assert len(account.ec2.describe_network_interfaces(Filters=of_machine)["NetworkInterfaces"]) == 1


def test_members_are_spread_evenly_over_the_zones(account: Any) -> None:
    group = account.scaling_group(account.template(), 7)
    assert sorted(Counter(member["AvailabilityZone"] for member in account.members(group)).values()) == [2, 2, 3]


def test_automatic_addresses_leave_what_is_reserved_to_those_who_name_it(account: Any) -> None:
    subnet = account.subnet("127.77.20.0/24")
    account.ec2.create_subnet_cidr_reservation(SubnetId=subnet, Cidr="127.77.20.0/28", ReservationType="explicit")
    given = [account.run(SubnetId=subnet)["PrivateIpAddress"] for _ in range(3)]
    assert given == ["127.77.20.16", "127.77.20.17", "127.77.20.18"]
    assert account.run(SubnetId=subnet, PrivateIpAddress="127.77.20.10")["PrivateIpAddress"] == "127.77.20.10"


def test_a_subnet_does_not_run_dry_over_many_launches(account: Any) -> None:
    subnet = account.subnet("127.77.21.0/28")
    for _ in range(30):
        machine = account.run(SubnetId=subnet)
        account.ec2.terminate_instances(InstanceIds=[machine["InstanceId"]])
    for _ in range(11):
        account.run(SubnetId=subnet)
    with pytest.raises(ClientError, match="no free address"):
        account.run(SubnetId=subnet)


def test_a_freed_address_rests_before_it_is_given_again(account: Any) -> None:
    subnet = account.subnet("127.77.22.0/24")
    first = account.run(SubnetId=subnet)
    account.ec2.terminate_instances(InstanceIds=[first["InstanceId"]])
    assert account.run(SubnetId=subnet)["PrivateIpAddress"] != first["PrivateIpAddress"]


def test_a_fixed_address_goes_to_the_replacement_of_a_terminated_machine(account: Any) -> None:
    where = {"SubnetId": account.subnets[0], "PrivateIpAddress": "127.77.0.209"}
    first = account.run(**where)
    with pytest.raises(ClientError, match=r"127\.77\.0\.209 is in use"):
        account.run(**where)
    account.ec2.terminate_instances(InstanceIds=[first["InstanceId"]])
    assert account.run(**where)["PrivateIpAddress"] == "127.77.0.209"


def test_a_machine_claims_a_further_address_which_nobody_takes_from_it(account: Any) -> None:
    first, second = (account.run(SubnetId=account.subnets[0]) for _ in range(2))
    interfaces = [machine["NetworkInterfaces"][0]["NetworkInterfaceId"] for machine in (first, second)]

    def claim(interface: str, address: str) -> None:
        account.ec2.assign_private_ip_addresses(NetworkInterfaceId=interface, PrivateIpAddresses=[address])

    claim(interfaces[0], "127.77.0.210")
    claim(interfaces[0], "127.77.0.210")
    shown = account.instance(first["InstanceId"])
    (interface,) = shown["NetworkInterfaces"]
    assert shown["PrivateIpAddress"] == first["PrivateIpAddress"]
    assert [(item["PrivateIpAddress"], item["Primary"]) for item in interface["PrivateIpAddresses"]] == [
        (first["PrivateIpAddress"], True),
        ("127.77.0.210", False),
    ]
    with pytest.raises(ClientError, match=r"127\.77\.0\.210 is in use"):
        claim(interfaces[1], "127.77.0.210")
    with pytest.raises(ClientError, match=r"127\.99\.0\.9 does not fall within"):
        claim(interfaces[1], "127.99.0.9")
    account.ec2.terminate_instances(InstanceIds=[first["InstanceId"]])
    claim(interfaces[1], "127.77.0.210")
    account.ec2.terminate_instances(InstanceIds=[second["InstanceId"]])


def test_a_machine_with_a_fixed_address_is_known_by_that(account: Any) -> None:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "mesh:address", "Value": "127.77.0.211"}]}]
    machine = account.run(SubnetId=account.subnets[0], TagSpecifications=tags)
    (known,) = (m for m in account.cloud.instances() if m.id == machine["InstanceId"])
    assert (known.address, known.private_address) == (ip_address("127.77.0.211"), ip_address(machine["PrivateIpAddress"]))


def test_an_address_outside_its_subnet_is_refused(account: Any) -> None:
    with pytest.raises(ClientError, match=r"127\.99\.0\.9 does not fall within"):
        account.ec2.create_network_interface(SubnetId=account.subnets[0], PrivateIpAddress="127.99.0.9")


def test_a_machine_has_the_address_zone_and_groups_of_the_interface_it_names(account: Any) -> None:
    made = account.ec2.create_network_interface(SubnetId=account.subnets[2], PrivateIpAddress="127.77.2.210", Groups=[account.group])
    name = made["NetworkInterface"]["NetworkInterfaceId"]
    attach = {"NetworkInterfaces": [{"DeviceIndex": 0, "NetworkInterfaceId": name}]}
    first = account.run(**attach)
    assert (first["PrivateIpAddress"], first["Placement"]["AvailabilityZone"]) == ("127.77.2.210", "eu-central-1c")
    assert [entry["GroupId"] for entry in account.instance(first["InstanceId"])["SecurityGroups"]] == [account.group]
    with pytest.raises(ClientError, match="in use"):
        account.run(**attach)
    with pytest.raises(ClientError, match="in use"):
        account.ec2.delete_network_interface(NetworkInterfaceId=name)
    account.ec2.terminate_instances(InstanceIds=[first["InstanceId"]])
    assert account.run(**attach)["PrivateIpAddress"] == "127.77.2.210"


def test_a_terminated_machine_can_be_described_and_has_no_address(account: Any) -> None:
    machine = account.run(SubnetId=account.subnets[0])
    account.ec2.terminate_instances(InstanceIds=[machine["InstanceId"]])
    shown = account.instance(machine["InstanceId"])
    assert shown["State"]["Name"] == "terminated"
    assert "PrivateIpAddress" not in shown
    (known,) = (m for m in account.cloud.instances() if m.id == machine["InstanceId"])
    assert (known.state, known.private_address) == ("terminated", ip_address(machine["PrivateIpAddress"]))


def test_terminated_machines_are_forgotten_after_a_while(account: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.cloud.machines.FORGET_AFTER", 0.05)
    machine = account.run(SubnetId=account.subnets[0])
    account.ec2.terminate_instances(InstanceIds=[machine["InstanceId"]])
    eventually(lambda: machine["InstanceId"] not in {m.id for m in account.cloud.instances()})
    with pytest.raises(ClientError, match=r"InvalidInstanceID.NotFound"):
        account.instance(machine["InstanceId"])


def test_deleting_a_nat_gateway_frees_its_addresses(account: Any) -> None:
    subnet = account.subnet("127.77.23.0/28")
    eip = account.ec2.allocate_address(Domain="vpc")
    for _ in range(15):
        made = account.ec2.create_nat_gateway(SubnetId=subnet, AllocationId=eip["AllocationId"])["NatGateway"]
        assert ip_address(made["NatGatewayAddresses"][0]["PrivateIp"]) in ip_network("127.77.23.0/28")
        account.ec2.delete_nat_gateway(NatGatewayId=made["NatGatewayId"])
    account.ec2.release_address(AllocationId=eip["AllocationId"])


def test_an_interface_endpoint_has_addresses_of_its_subnets(account: Any) -> None:
    subnet = account.subnet("127.77.24.0/28")
    made = account.ec2.create_vpc_endpoint(
        VpcId=account.vpc, VpcEndpointType="Interface", ServiceName="com.amazonaws.eu-central-1.ssm", SubnetIds=[subnet]
    )["VpcEndpoint"]
    (shown,) = account.ec2.describe_network_interfaces(NetworkInterfaceIds=made["NetworkInterfaceIds"])["NetworkInterfaces"]
    assert ip_address(shown["PrivateIpAddress"]) in ip_network("127.77.24.0/28")


def test_machines_of_every_region_are_seen_with_their_region(account: Any) -> None:
    far = account.client("ec2", "us-west-2")
    vpc = far.create_vpc(CidrBlock="127.77.128.0/20")["Vpc"]["VpcId"]
    subnet = far.create_subnet(VpcId=vpc, CidrBlock="127.77.128.0/24", AvailabilityZone="us-west-2a")["Subnet"]["SubnetId"]
    near = account.run(SubnetId=account.subnets[0])["InstanceId"]
    launch = {"ImageId": "ami-0123456789abcdef0", "InstanceType": "t3.small", "MinCount": 1, "MaxCount": 1}
    other = far.run_instances(SubnetId=subnet, **launch)["Instances"][0]
    regions = {machine.id: (machine.region, machine.zone) for machine in account.cloud.instances()}
    assert regions[near] == ("eu-central-1", "eu-central-1a")
    assert regions[other["InstanceId"]] == ("us-west-2", "us-west-2a")
