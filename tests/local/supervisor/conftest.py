"""A stack's supervisor over the real local cloud, in a state directory and an address range of the test's own."""

import gzip
import os
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
import yaml

from local.isolation import cloud_environment
from local.stacks import StackState, free_range, take_range
from local.supervisor.client import SupervisorClient, connect, kill_leftovers, start_or_connect
from local.supervisor.identity import read_identity

REGION = "eu-central-1"
PORT = 8080
MACHINE_ENV = """\
MESH_INSTANCE_ID={{ v1.instance_id }}
MESH_ADDRESS={{ ds.meta_data.local_ipv4 }}
MESH_LOOPBACK={{ ds.meta_data.local_ipv4 }}
MESH_ZONE={{ v1.availability_zone }}
"""
WEB = {
    "image": "example/web",
    "restart": "always",
    "environment": {"HOST": "${MESH_LOOPBACK}", "PORT": str(PORT)},
    "labels": {
        "envoy-mesh.local.command": "python -m http.server --bind {host} {port}",
        "envoy-mesh.ready": f"http://${{MESH_LOOPBACK}}:{PORT}/",
    },
}


def user_data() -> str:
    compose = b64encode(gzip.compress(yaml.safe_dump({"services": {"web": WEB}}).encode())).decode()
    files = [
        {"path": "/etc/mesh/machine.env", "content": MACHINE_ENV},
        {"path": "/etc/mesh/compose.yaml", "encoding": "gz+b64", "content": compose},
    ]
    return "## template: jinja\n#cloud-config\n" + yaml.safe_dump({"write_files": files}, width=10**9)


@dataclass(frozen=True)
class Stack:
    state: StackState
    cidr: IPv4Network

    def start(self) -> SupervisorClient:
        return start_or_connect(self.state, region=REGION, cidr=self.cidr)

    def ec2(self) -> Any:
        settings = cloud_environment(self.start().status().cloud_url, REGION)
        return boto3.client(
            "ec2",
            region_name=REGION,
            endpoint_url=settings["AWS_ENDPOINT_URL"],
            aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
        )

    def launch(self, count: int) -> list[str]:
        """Instances of a service in a VPC of the stack's range."""
        ec2 = self.ec2()
        vpc = ec2.create_vpc(CidrBlock=str(self.cidr))["Vpc"]["VpcId"]
        block = next(iter(self.cidr.subnets(new_prefix=24)))
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=str(block), AvailabilityZone=f"{REGION}a")["Subnet"]["SubnetId"]
        tags = [{"Key": "mesh:role", "Value": "service"}, {"Key": "mesh:service", "Value": "web"}]
        answer = ec2.run_instances(
            ImageId="ami-12345678",
            MinCount=count,
            MaxCount=count,
            SubnetId=subnet,
            UserData=user_data(),
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        )
        return [one["InstanceId"] for one in answer["Instances"]]

    def processes(self) -> list[psutil.Process]:
        """The supervisor and its machines' processes."""
        found = []
        for process in psutil.process_iter():
            try:
                mine = process.environ().get("MESH_ROOT", "").startswith(str(self.state.root)) or str(self.state.root) in process.cmdline()
                if mine and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Ends with a look at what is left running: nothing may be."""
    state = StackState(tmp_path / ("a-long-name-" * 8) / "stack")
    made = Stack(state, take_range(state))
    try:
        yield made
    finally:
        client = connect(state)
        if client is not None:
            client.stop()
        elif (identity := read_identity(state)) is not None and identity.lives():
            psutil.Process(identity.pid).kill()
        kill_leftovers(state)
        free_range(state)
    assert made.processes() == []
