"""Stacks in AWS as the reading verbs see them: machines from a real AWS API, words of health, and what is refused."""

import os
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from cli.aws_stack import AwsStack, machine_health
from cli.engine import backend_url
from cli.exits import Stop
from local.cloud import Cloud
from local.isolation import cloud_environment

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import TagTypeDef

REGION = "eu-central-1"


@pytest.mark.parametrize(
    ("state", "check", "group", "health"),
    [
        ("running", "ok", None, "healthy"),
        ("running", "initializing", None, "starting"),
        ("running", "impaired", None, "unhealthy"),
        ("pending", "", ("Pending:Wait", "Healthy"), "starting"),
        ("running", "ok", ("Pending:Wait", "Healthy"), "starting"),
        ("running", "ok", ("InService", "Healthy"), "healthy"),
        ("running", "ok", ("InService", "Unhealthy"), "unhealthy"),
        ("running", "ok", ("Terminating:Wait", "Healthy"), "stopped"),
        ("stopping", "", None, "stopped"),
    ],
)
def test_health_is_what_ec2_and_the_group_say(state: str, check: str, group: tuple[str, str] | None, health: str) -> None:
    word, detail = machine_health(state, check, group)
    assert word == health
    assert state in detail


def facts(stack: str) -> list["TagTypeDef"]:
    return [{"Key": f"mesh:{key}", "Value": value} for key, value in {"stack": stack, "role": "edge", "service": "edge"}.items()]


@pytest.mark.components
def test_machines_come_from_ec2_by_the_stacks_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = Cloud(REGION, IPv4Network("127.77.0.0/16"))
    cloud.start()
    try:
        settings = cloud_environment(cloud.url, REGION)
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        for region, stacks in ((REGION, ("dev", "prod")), ("us-west-2", ("dev",)), ("us-west-1", ("dev",))):
            ec2 = boto3.client("ec2", region_name=region)
            vpc = ec2.create_vpc(CidrBlock="127.77.0.0/16")["Vpc"]["VpcId"]
            subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="127.77.0.0/20", AvailabilityZone=f"{region}a")["Subnet"]["SubnetId"]
            for stack in stacks:
                ec2.run_instances(
                    ImageId="ami-00000000",
                    MinCount=1,
                    MaxCount=1,
                    SubnetId=subnet,
                    TagSpecifications=[{"ResourceType": "instance", "Tags": facts(stack)}],
                )
        with AwsStack.open("dev", settings) as aws:
            (machine,) = aws.machines()
            aws.file.mesh["edge"]["outer"] = [{"region": "us-west-2", "cidr": "10.30.0.0/16", "ami": "ami-0123456789abcdef0"}]
            both = aws.machines()
    finally:
        cloud.stop()
    assert (machine.role, machine.service, machine.zone) == ("edge", "edge", f"{REGION}a")
    assert machine.address.startswith("127.77.")
    assert [one.zone for one in both] == [f"{REGION}a", "us-west-2a"]


def test_the_callers_settings_hold_only_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLY_OURS", "1")
    before = dict(os.environ)
    with AwsStack.open("dev", {"PATH": "/nowhere", "AWS_PROFILE": "team"}):
        assert dict(os.environ) == {"PATH": "/nowhere", "AWS_PROFILE": "team"}
    assert dict(os.environ) == before


def test_a_backend_without_the_stack_is_told_with_what_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {**os.environ, "PULUMI_BACKEND_URL": backend_url(tmp_path), "PULUMI_CONFIG_PASSPHRASE": "", "PULUMI_HOME": str(tmp_path)}
    with pytest.raises(Stop) as stopped, AwsStack.open("dev", settings) as aws:
        aws.outputs()
    assert "pulumi up -s dev" in stopped.value.message
