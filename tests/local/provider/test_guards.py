"""What EC2 and SSM refuse and moto takes: the provider refuses it, one guard and one test each."""

import base64

import pytest

from local.provider.clients import Clients
from local.provider.engine import Engine, ProviderError
from local.provider.row import Properties
from tests.local.provider.world import AMI, World, urn_of

pytestmark = pytest.mark.components


def reasons(engine: Engine, token: str, inputs: Properties) -> str:
    return " ".join(failure.reason for failure in engine.check(urn_of(token, "refused"), {}, inputs)[1])


def test_user_data_over_16_kib_is_refused_before_anything_is_made(engine: Engine) -> None:
    fits, too_long = b"x" * 16_384, b"x" * 16_385
    template, instance = "aws:ec2/launchTemplate:LaunchTemplate", "aws:ec2/instance:Instance"
    assert reasons(engine, template, {"userData": base64.b64encode(fits).decode()}) == ""
    assert "userData is 16385 bytes; EC2 takes at most 16384" in reasons(
        engine, template, {"userData": base64.b64encode(too_long).decode()}
    )
    assert reasons(engine, instance, {"userData": fits.decode()}) == ""
    assert "16385 bytes" in reasons(engine, instance, {"userData": too_long.decode()})
    assert "userDataBase64 is 16385 bytes" in reasons(engine, instance, {"userDataBase64": base64.b64encode(too_long).decode()})


def test_a_template_whose_user_data_is_not_base64_is_refused(engine: Engine) -> None:
    assert "not base64" in reasons(engine, "aws:ec2/launchTemplate:LaunchTemplate", {"userData": "#cloud-config\n"})


def test_a_standard_parameter_over_4_kib_is_refused(engine: Engine) -> None:
    token = "aws:ssm/parameter:Parameter"
    assert reasons(engine, token, {"name": "/p", "value": "x" * 4096}) == ""
    assert "'/p': the value is 4097 bytes" in reasons(engine, token, {"name": "/p", "value": "x" * 4097})
    assert reasons(engine, token, {"name": "/p", "value": "x" * 4097, "tier": "Advanced"}) == ""


@pytest.mark.parametrize("wanted", [True, False])
def test_a_machine_has_a_public_address_of_its_own_where_one_is_asked_for(engine: Engine, clients: Clients, *, wanted: bool) -> None:
    world = World(engine)
    inputs = {"ami": AMI, "instanceType": "t3.micro", "subnetId": world.subnet, "vpcSecurityGroupIds": [world.group]}
    machine = world.make("aws:ec2/instance:Instance", "public", {**inputs, "associatePublicIpAddress": wanted})
    found = clients.get("ec2").describe_instances(InstanceIds=[machine])["Reservations"][0]["Instances"][0]
    assert ("PublicIpAddress" in found) is wanted
    assert found["SubnetId"] == world.subnet
    (interface,) = found["NetworkInterfaces"]
    assert [group["GroupId"] for group in interface["Groups"]] == [world.group]


def test_a_volume_is_not_attached_to_two_machines(engine: Engine) -> None:
    world = World(engine)
    token = "aws:ec2/volumeAttachment:VolumeAttachment"
    world.make(token, "first", {"deviceName": "/dev/sdf", "volumeId": world.volume, "instanceId": world.instance})
    other = world.make("aws:ec2/instance:Instance", "second", {"ami": AMI, "instanceType": "t3.micro", "subnetId": world.subnet})
    with pytest.raises(ValueError, match=rf"VolumeInUse: volume {world.volume}.*is attached to {world.instance}"):
        world.make(token, "again", {"deviceName": "/dev/sdf", "volumeId": world.volume, "instanceId": other})


def test_a_volume_follows_when_its_machine_was_replaced(engine: Engine, clients: Clients) -> None:
    """EC2 detaches a volume whose machine ends; moto keeps it attached to the dead one."""
    world = World(engine)
    token = "aws:ec2/volumeAttachment:VolumeAttachment"
    world.make(token, "before", {"deviceName": "/dev/sdf", "volumeId": world.volume, "instanceId": world.instance})
    clients.get("ec2").terminate_instances(InstanceIds=[world.instance])
    other = world.make("aws:ec2/instance:Instance", "after", {"ami": AMI, "instanceType": "t3.micro", "subnetId": world.subnet})
    world.make(token, "after", {"deviceName": "/dev/sdf", "volumeId": world.volume, "instanceId": other})
    attachments = clients.get("ec2").describe_volumes(VolumeIds=[world.volume])["Volumes"][0]["Attachments"]
    assert [attachment["InstanceId"] for attachment in attachments] == [other]


def test_a_volume_is_not_attached_across_zones(engine: Engine) -> None:
    world = World(engine)
    far = world.make("aws:ebs/volume:Volume", "far", {"availabilityZone": "eu-central-1b", "size": 1})
    inputs = {"deviceName": "/dev/sdf", "volumeId": far, "instanceId": world.instance}
    refusal = rf"ZoneMismatch: volume {far} is in eu-central-1b, machine {world.instance} in eu-central-1a"
    with pytest.raises(ValueError, match=refusal):
        world.make("aws:ec2/volumeAttachment:VolumeAttachment", "across", inputs)


def test_two_volumes_are_not_one_device(engine: Engine) -> None:
    world = World(engine)
    token = "aws:ec2/volumeAttachment:VolumeAttachment"
    world.make(token, "one", {"deviceName": "/dev/sdf", "volumeId": world.volume, "instanceId": world.instance})
    with pytest.raises(ValueError, match=rf"/dev/sdf of machine {world.instance} already is {world.volume}"):
        world.make(token, "two", {"deviceName": "/dev/sdf", "volumeId": world.other_volume, "instanceId": world.instance})


def test_a_security_group_in_use_is_not_deleted(engine: Engine, clients: Clients) -> None:
    world = World(engine)
    token = "aws:ec2/securityGroup:SecurityGroup"
    inputs = {"ami": AMI, "instanceType": "t3.micro", "subnetId": world.subnet, "vpcSecurityGroupIds": [world.group]}
    user = world.make("aws:ec2/instance:Instance", "user", inputs)
    with pytest.raises(ValueError, match=rf"DependencyViolation: security group {world.group}.*{user}"):
        engine.delete(urn_of(token, "group"), world.group, {}, {})
    clients.get("ec2").terminate_instances(InstanceIds=[user])
    rule = {"securityGroupId": world.other_group, "ipProtocol": "tcp", "fromPort": 1, "toPort": 1}
    named = world.make("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "r", {**rule, "referencedSecurityGroupId": world.group})
    with pytest.raises(ValueError, match=named):
        engine.delete(urn_of(token, "group"), world.group, {}, {})
    engine.delete(urn_of("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "r"), named, rule, {})
    engine.delete(urn_of(token, "group"), world.group, {}, {})


def test_a_private_address_has_one_holder(engine: Engine) -> None:
    world = World(engine)
    interface, instance = "aws:ec2/networkInterface:NetworkInterface", "aws:ec2/instance:Instance"
    machine = {"ami": AMI, "instanceType": "t3.micro", "subnetId": world.subnet}
    holder = world.make(interface, "holder", {"subnetId": world.subnet, "privateIps": ["127.20.0.70"]})
    with pytest.raises(ValueError, match=rf"address 127\.20\.0\.70 .* belongs to {holder}"):
        world.make(interface, "second", {"subnetId": world.subnet, "privateIps": ["127.20.0.70"]})
    with pytest.raises(ValueError, match=holder):
        world.make(instance, "third", {**machine, "privateIp": "127.20.0.70"})
    runs = world.make(instance, "runs", {**machine, "privateIp": "127.20.0.71"})
    with pytest.raises(ValueError, match=runs):
        world.make(interface, "fourth", {"subnetId": world.subnet, "privateIps": ["127.20.0.71"]})


def test_an_unknown_type_is_refused_by_name_and_says_what_to_do(engine: Engine) -> None:
    with pytest.raises(ProviderError, match=r"aws:sqs/queue:Queue: the local provider has no row.*Add one.*aws:ec2/vpc:Vpc"):
        engine.check(urn_of("aws:sqs/queue:Queue", "q"), {}, {})


def test_an_unknown_function_is_refused_by_name(engine: Engine) -> None:
    with pytest.raises(ProviderError, match=r"aws:rds/getInstance:getInstance.*it has: aws:ec2/getAmi"):
        engine.invoke("aws:rds/getInstance:getInstance", {})


def test_a_rule_for_nobody_is_refused(engine: Engine) -> None:
    """As when a program passes on an output that has no value."""
    world = World(engine)
    rule = {"securityGroupId": world.group, "ipProtocol": "tcp", "fromPort": 1, "toPort": 1}
    with pytest.raises(ValueError, match=r"exactly one of .*; this has none"):
        world.make("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule", "nobody", rule)


def test_the_interfaces_of_an_endpoint_are_in_its_groups(engine: Engine, clients: Clients) -> None:
    world = World(engine)
    inputs = {"vpcId": world.vpc, "serviceName": "com.amazonaws.eu-central-1.ssm", "vpcEndpointType": "Interface"}
    inputs |= {"subnetIds": [world.subnet], "securityGroupIds": [world.group]}
    urn = urn_of("aws:ec2/vpcEndpoint:VpcEndpoint", "ssm")
    endpoint, state = engine.create(urn, inputs)
    moved = engine.update(urn, endpoint, inputs, {**inputs, "securityGroupIds": [world.other_group]}, state)
    found = clients.get("ec2").describe_network_interfaces(NetworkInterfaceIds=moved["networkInterfaceIds"])["NetworkInterfaces"]
    assert [[group["GroupId"] for group in interface["Groups"]] for interface in found] == [[world.other_group]]
    engine.delete(urn, endpoint, inputs, moved)
