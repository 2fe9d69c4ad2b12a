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
    fits, too_long = (base64.b64encode(b"x" * size).decode() for size in (16_384, 16_385))
    template = "aws:ec2/launchTemplate:LaunchTemplate"
    assert reasons(engine, template, {"userData": fits}) == ""
    assert "userData is 16385 bytes; EC2 takes at most 16384" in reasons(engine, template, {"userData": too_long})


def test_a_template_whose_user_data_is_not_base64_is_refused(engine: Engine) -> None:
    assert "not base64" in reasons(engine, "aws:ec2/launchTemplate:LaunchTemplate", {"userData": "#cloud-config\n"})


def test_a_standard_parameter_over_4_kib_is_refused(engine: Engine) -> None:
    token = "aws:ssm/parameter:Parameter"
    assert reasons(engine, token, {"name": "/p", "value": "x" * 4096}) == ""
    assert "'/p': the value is 4097 bytes" in reasons(engine, token, {"name": "/p", "value": "x" * 4097})
    assert reasons(engine, token, {"name": "/p", "value": "x" * 4097, "tier": "Advanced"}) == ""


def test_a_security_group_in_use_is_not_deleted(engine: Engine, clients: Clients) -> None:
    world = World(engine)
    token = "aws:ec2/securityGroup:SecurityGroup"
    machine = {"ImageId": AMI, "SubnetId": world.subnet, "SecurityGroupIds": [world.group], "MinCount": 1, "MaxCount": 1}
    user = clients.get("ec2").run_instances(**machine)["Instances"][0]["InstanceId"]
    with pytest.raises(ValueError, match=rf"DependencyViolation: security group {world.group}.*{user}"):
        engine.delete(urn_of(token, "group"), world.group, {}, {})
    clients.get("ec2").terminate_instances(InstanceIds=[user])
    rule = {"securityGroupId": world.other_group, "ipProtocol": "tcp", "fromPort": 1, "toPort": 1}
    named = world.make("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "r", {**rule, "referencedSecurityGroupId": world.group})
    with pytest.raises(ValueError, match=named):
        engine.delete(urn_of(token, "group"), world.group, {}, {})
    engine.delete(urn_of("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "r"), named, rule, {})
    engine.delete(urn_of(token, "group"), world.group, {}, {})


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
