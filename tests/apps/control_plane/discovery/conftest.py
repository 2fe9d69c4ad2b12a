"""A moto server with a stack in it, clients to change it, and machines that only say whether they are ready."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from model import contract
from tests.servers import moto_here

STACK = "t"
BUCKET = "mesh-t"
IMAGE = "ami-0123456789abcdef0"


class Stack:
    """Machines of one stack in a moto server."""

    def __init__(self, endpoint: str) -> None:
        self.environment = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        self.ec2, self.autoscaling, self.s3, self.ssm = map(self.client, ("ec2", "autoscaling", "s3", "ssm"))
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})

    def client(self, service: str, region: str = "eu-central-1") -> Any:
        session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=region)
        connect: Any = session.client
        return connect(service, endpoint_url=self.environment["AWS_ENDPOINT_URL"])

    def run(self, role: str, service: str, count: int = 1, *, stack: str = STACK) -> list[str]:
        """Instance ids of new machines."""
        tags = {contract.TAG_STACK: stack, contract.TAG_ROLE: role, contract.TAG_SERVICE: service}
        specification = [{"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]
        answer = self.ec2.run_instances(ImageId=IMAGE, MinCount=count, MaxCount=count, TagSpecifications=specification)
        return [item["InstanceId"] for item in answer["Instances"]]

    def terminate(self, *instances: str) -> None:
        self.ec2.terminate_instances(InstanceIds=list(instances))

    def group(self, service: str, count: int, *, role: str = "service", region: str = "eu-central-1") -> None:
        """An Auto Scaling group of machines of a service."""
        template = self.client("ec2", region).create_launch_template(
            LaunchTemplateName=service, LaunchTemplateData={"ImageId": IMAGE, "InstanceType": "t3.small"}
        )["LaunchTemplate"]["LaunchTemplateId"]
        tags = {contract.TAG_STACK: STACK, contract.TAG_ROLE: role, contract.TAG_SERVICE: service}
        self.client("autoscaling", region).create_auto_scaling_group(
            AutoScalingGroupName=service,
            LaunchTemplate={"LaunchTemplateId": template, "Version": "1"},
            MinSize=0,
            MaxSize=9,
            DesiredCapacity=count,
            AvailabilityZones=[f"{region}a"],
            Tags=[{"Key": key, "Value": value, "PropagateAtLaunch": True} for key, value in tags.items()],
        )

    def write_document(self, text: str) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=contract.DOCUMENT_KEY, Body=text.encode())

    def write_edge_tls(self, chain: str, key: str) -> None:
        for item, value in (("certificate", chain), ("key", key)):
            name = contract.edge_tls_parameter(STACK, item)
            self.ssm.put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)


@pytest.fixture
def stack() -> Iterator[Stack]:
    """An empty stack in a cloud of its own."""
    with moto_here() as url:
        yield Stack(url)
