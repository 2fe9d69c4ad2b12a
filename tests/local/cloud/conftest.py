"""A running local cloud with a network in it, and a few words to ask it for machines."""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any

import boto3
import pytest

from local.cloud import Cloud

REGION = "eu-central-1"
RANGE = IPv4Network("127.77.0.0/16")
IMAGE = "ami-0123456789abcdef0"


@dataclass
class Account:
    """Clients of one running cloud, and a VPC with a subnet in each of three zones."""

    cloud: Cloud
    vpc: str = ""
    subnets: list[str] = field(default_factory=list)
    group: str = ""
    names: Iterator[int] = field(default_factory=itertools.count)

    def client(self, service: str, region: str = REGION) -> Any:
        connect: Any = boto3.client
        return connect(service, region_name=region, endpoint_url=self.cloud.url, aws_access_key_id="local", aws_secret_access_key="local")

    def __post_init__(self) -> None:
        self.ec2, self.asg, self.s3, self.iam = (self.client(name) for name in ("ec2", "autoscaling", "s3", "iam"))
        self.vpc = self.ec2.create_vpc(CidrBlock=str(RANGE))["Vpc"]["VpcId"]
        for index, zone in enumerate("abc"):
            self.subnets.append(self.subnet(f"127.77.{index}.0/24", zone))
        made = self.ec2.create_security_group(GroupName="machines", Description="-", VpcId=self.vpc)
        self.group = made["GroupId"]

    def subnet(self, cidr: str, zone: str = "a") -> str:
        made = self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=cidr, AvailabilityZone=f"{REGION}{zone}")
        name: str = made["Subnet"]["SubnetId"]
        return name

    def template(self, user_data: str = "Zmlyc3Q=", **data: Any) -> str:
        launch = {"ImageId": IMAGE, "InstanceType": "t3.small", "UserData": user_data, "SecurityGroupIds": [self.group]} | data
        made = self.ec2.create_launch_template(LaunchTemplateName=f"template-{next(self.names)}", LaunchTemplateData=launch)
        name: str = made["LaunchTemplate"]["LaunchTemplateId"]
        return name

    def new_version(self, template: str, user_data: str) -> str:
        launch = {"ImageId": IMAGE, "InstanceType": "t3.small", "UserData": user_data, "SecurityGroupIds": [self.group]}
        made = self.ec2.create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData=launch)
        return str(made["LaunchTemplateVersion"]["VersionNumber"])

    def scaling_group(self, template: str, size: int, *, zones: int = 3, version: str = "$Latest", **more: Any) -> str:
        name = f"group-{next(self.names)}"
        self.asg.create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchTemplate={"LaunchTemplateId": template, "Version": version},
            MinSize=more.pop("MinSize", 0),
            MaxSize=more.pop("MaxSize", 12),
            DesiredCapacity=size,
            VPCZoneIdentifier=",".join(self.subnets[:zones]),
            **more,
        )
        return name

    def members(self, group: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.asg.describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"][0][
            "Instances"
        ]
        return found

    def run(self, **more: Any) -> dict[str, Any]:
        base = {"ImageId": IMAGE, "InstanceType": "t3.small", "MinCount": 1, "MaxCount": 1}
        instance: dict[str, Any] = self.ec2.run_instances(**base | more)["Instances"][0]
        return instance

    def instance(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ec2.describe_instances(InstanceIds=[name])["Reservations"][0]["Instances"][0]
        return found


def eventually(check: Callable[[], bool], seconds: float = 5.0) -> None:
    """Waits until `check` holds."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    cloud = Cloud(REGION, RANGE)
    cloud.start()
    try:
        yield Account(cloud)
    finally:
        cloud.stop()


@pytest.fixture(name="eventually", scope="session")
def eventually_fixture() -> Callable[..., None]:
    return eventually
