"""A machine claims its fixed address and its data volume when they are free, and never before; moto enforces no IAM."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

import boto3
import pytest

from apps.agent.claims import claims, insist
from apps.agent.config import AgentConfig
from components.user_data import own_address
from local.cloud import Cloud

REGION = "eu-central-1"
ADDRESS = "127.78.0.12"
IMAGE = "ami-0123456789abcdef0"


@dataclass
class Account:
    """A subnet, a volume in its zone, and machines of it."""

    ec2: Any
    env: dict[str, str]
    subnet: str
    volume: str

    def launch(self) -> str:
        made = self.ec2.run_instances(ImageId=IMAGE, InstanceType="t3.small", MinCount=1, MaxCount=1, SubnetId=self.subnet)
        instance: str = made["Instances"][0]["InstanceId"]
        return instance

    def claim(self, instance: str) -> list[str | None]:
        """One attempt of each of the machine's claims."""
        config = AgentConfig.model_validate({"address": ADDRESS, "volume": {"id": self.volume, "label": "data", "mount": "/data"}})
        return [claim.attempt() for claim in claims(config, {**self.env, "MESH_INSTANCE_ID": instance})]

    def addresses(self, instance: str) -> list[str]:
        (reservation,) = self.ec2.describe_instances(InstanceIds=[instance])["Reservations"]
        return [item["PrivateIpAddress"] for nic in reservation["Instances"][0]["NetworkInterfaces"] for item in nic["PrivateIpAddresses"]]


@pytest.fixture
def account() -> Iterator[Account]:
    cloud = Cloud(REGION, IPv4Network("127.78.0.0/16"))
    cloud.start()
    try:
        env = {"AWS_ENDPOINT_URL": cloud.url, "AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
        ec2: Any = boto3.client("ec2", region_name=REGION, endpoint_url=cloud.url, aws_access_key_id="local", aws_secret_access_key="local")
        vpc = ec2.create_vpc(CidrBlock="127.78.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="127.78.0.0/24", AvailabilityZone=f"{REGION}a")["Subnet"]["SubnetId"]
        ec2.create_subnet_cidr_reservation(SubnetId=subnet, Cidr="127.78.0.0/28", ReservationType="explicit")
        volume = ec2.create_volume(Size=1, AvailabilityZone=f"{REGION}a")["VolumeId"]
        yield Account(ec2, env, subnet, volume)
    finally:
        cloud.stop()


@pytest.mark.components
def test_a_machine_claims_what_is_free_and_may_do_so_again(account: Account) -> None:
    machine = account.launch()
    assert account.claim(machine) == [None, None]
    assert account.claim(machine) == [None, None]
    primary, claimed = account.addresses(machine)
    assert (claimed, primary) == (ADDRESS, "127.78.0.16")
    (attachment,) = account.ec2.describe_volumes(VolumeIds=[account.volume])["Volumes"][0]["Attachments"]
    assert (attachment["InstanceId"], attachment["Device"]) == (machine, "/dev/sdf")


@pytest.mark.components
def test_nothing_is_taken_from_a_machine_that_lives(account: Account) -> None:
    holder, successor = account.launch(), account.launch()
    account.claim(holder)
    assert account.claim(successor) == [
        f"InvalidIPAddress.InUse: An error occurred (InvalidIPAddress.InUse) when calling the AssignPrivateIpAddresses operation: "
        f"Address {ADDRESS} is in use.",
        f"it is on {holder}",
    ]
    assert ADDRESS in account.addresses(holder)
    account.ec2.terminate_instances(InstanceIds=[holder])
    assert account.claim(successor) == [None, None]
    assert ADDRESS in account.addresses(successor)


@pytest.mark.components
def test_the_agent_insists_until_the_one_before_is_gone(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.agent.claims.PAUSE_SECONDS", 0.05)
    holder, successor = account.launch(), account.launch()
    account.claim(holder)
    config = AgentConfig.model_validate({"address": ADDRESS})
    (claim,) = claims(config, {**account.env, "MESH_INSTANCE_ID": successor})
    waiting = threading.Thread(target=insist, args=(claim,))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    account.ec2.terminate_instances(InstanceIds=[holder])
    waiting.join(5)
    assert not waiting.is_alive()
    assert ADDRESS in account.addresses(successor)


def test_a_machine_without_a_fixed_address_or_volume_claims_nothing() -> None:
    assert claims(AgentConfig(), {}) == []


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="optional: a network namespace takes root and iproute2")
def test_the_units_words_make_an_address_the_machines_own_once() -> None:
    """In a network namespace with a device that has the default route, as a machine's first boot finds it, and its second."""
    device = "ip link add ens5 type veth peer name router && ip link set router up && ip link set ens5 up"
    prepare = f"{device} && ip address add 10.9.0.21/24 dev ens5 && ip route add default via 10.9.0.1"
    words = own_address("10.9.0.12")
    script = f"{prepare} && {words} && {words} && ip -4 -oneline address show dev ens5"
    done = subprocess.run(["unshare", "--net", "/bin/sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line.split()[3] for line in done.stdout.splitlines()] == ["10.9.0.21/24", "10.9.0.12/32"]
    none = subprocess.run(["unshare", "--net", "/bin/sh", "-c", words], capture_output=True, text=True, check=False)
    assert none.returncode != 0, "without a default route there is no device to choose"
