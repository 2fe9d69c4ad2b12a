"""The rows under Pulumi's mocks: a program's resources are in moto afterwards."""

import asyncio

import boto3
import pulumi
import pulumi_aws as aws
import pytest

from local.provider.mocks import MotoMocks

pytestmark = pytest.mark.components

REGION = "eu-central-1"


class Network(pulumi.ComponentResource):
    """A VPC with its subnet."""

    def __init__(self, name: str) -> None:
        super().__init__("mesh:network:Network", name)
        child = pulumi.ResourceOptions(parent=self)
        self.vpc = aws.ec2.Vpc(f"{name}-vpc", cidr_block="127.60.0.0/16", tags={"mesh:stack": "mocked"}, opts=child)
        zones = aws.get_availability_zones(state="available")
        self.subnet = aws.ec2.Subnet(
            f"{name}-subnet", vpc_id=self.vpc.id, cidr_block="127.60.1.0/24", availability_zone=zones.names[1], opts=child
        )
        self.register_outputs({})


@pytest.fixture
def mocks(moto_url: str) -> MotoMocks:
    """With an event loop of the test's own: whatever ran before in this process may have closed the last one."""
    asyncio.set_event_loop(asyncio.new_event_loop())
    made = MotoMocks(moto_url, REGION)
    pulumi.runtime.set_mocks(made, preview=False)
    return made


def test_moto_holds_what_a_component_declares(mocks: MotoMocks, moto_url: str) -> None:
    @pulumi.runtime.test
    def program() -> object:
        network = Network("net")
        return pulumi.Output.all(network.vpc.arn, network.subnet.availability_zone).apply(seen.append)

    seen: list[object] = []
    program()
    vpc_id, outputs = mocks.made["aws:ec2/vpc:Vpc", "net-vpc"]
    assert seen == [[outputs["arn"], "eu-central-1b"]]
    ec2 = boto3.client("ec2", region_name=REGION, endpoint_url=moto_url, aws_access_key_id="x", aws_secret_access_key="x")
    vpc = ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"][0]
    assert vpc["CidrBlock"] == "127.60.0.0/16"
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])["Subnets"]
    assert [subnet["CidrBlock"] for subnet in subnets] == ["127.60.1.0/24"]
    assert mocks.problems == []


def test_what_the_provider_refuses_fails_under_mocks_with_its_words(mocks: MotoMocks) -> None:
    @pulumi.runtime.test
    def program() -> object:
        return aws.ssm.Parameter("p", name="/mocked", type="String", value="x" * 5000).arn

    with pytest.raises(Exception, match="holds at most 4096"):
        program()
    assert "holds at most 4096" in mocks.problems[0]
