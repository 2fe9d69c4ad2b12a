"""The real Pulumi engine drives the plugin process: preview, up, no-op, refresh, update, a killed engine, destroy."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from pulumi import automation as auto

from local.tool_cache import cache_directory
from tests.local.provider.small_mesh import REGION, RESOURCES, open_stack, small_mesh

pytestmark = pytest.mark.components


@contextmanager
def plugin(moto_url: str, state: Path) -> Iterator[str]:
    """The port of a plugin process; at its end the durations of its calls."""
    command = [sys.executable, "-m", "local.provider", "--moto-url", moto_url, "--region", REGION, "--state", str(state)]
    started = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout
    port = process.stdout.readline().strip()
    print(f"provider served {time.monotonic() - started:.2f} s after its start")
    try:
        yield port
    finally:
        process.stdin.close()
        assert process.wait(5) == 0
        _print_durations(state / "provider.log")


def _print_durations(log: Path) -> None:
    lines = [dict(word.split("=", 1) for word in line.split(" ")[:4]) for line in log.read_text().splitlines()]
    for verb in sorted({line["verb"] for line in lines}):
        spans = sorted(int(line["ms"]) for line in lines if line["verb"] == verb)
        print(f"{verb}: {len(spans)} calls, median {spans[len(spans) // 2]} ms, longest {spans[-1]} ms")


@pytest.fixture(autouse=True)
def _pulumi_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CLI on PATH, else the one that `./mesh` keeps in its cache."""
    if shutil.which("pulumi"):
        return
    cache = cache_directory() / "pulumi"
    made = sorted(cache.glob("*/pulumi"))
    if not made:
        pytest.skip(f"no Pulumi CLI on PATH nor below {cache}; ./mesh makes it on its first run")
    monkeypatch.setenv("PATH", f"{made[-1].parent}{os.pathsep}{os.environ['PATH']}")


def changes(result: Any) -> dict[str, int]:
    summary = result.change_summary if isinstance(result, auto.PreviewResult) else result.summary.resource_changes
    return {str(getattr(kind, "value", kind)): count for kind, count in summary.items()}


def client(moto_url: str, service: str) -> Any:
    connect: Any = boto3.client
    return connect(service, region_name=REGION, endpoint_url=moto_url, aws_access_key_id="x", aws_secret_access_key="x")


def test_a_stack_lives_through_the_real_engine(moto_url: str, tmp_path: Path) -> None:
    asg = client(moto_url, "autoscaling")
    with plugin(moto_url, tmp_path) as port:
        stack = open_stack(small_mesh("t3.micro", "{}"), port, tmp_path, "lives")
        assert changes(stack.preview()) == {"create": RESOURCES}
        made = stack.up()
        assert changes(made) == {"create": RESOURCES}
        assert made.outputs["vpc"].value.startswith(f"arn:aws:ec2:{REGION}:123456789012:vpc/vpc-")
        assert made.outputs["ca"].value.startswith("-----BEGIN CERTIFICATE-----")
        assert made.outputs["password"].secret
        assert len(made.outputs["password"].value) == 24
        assert changes(stack.up()) == {"same": RESOURCES}
        assert changes(stack.refresh()) == {"same": RESOURCES}

        group = made.outputs["group"].value
        asg.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=2)
        stack = open_stack(small_mesh("t3.small", "{}"), port, tmp_path, "lives")
        assert changes(stack.preview()) == {"same": RESOURCES - 2, "update": 2}
        assert changes(stack.up()) == {"same": RESOURCES - 2, "update": 2}
        assert asg.describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"][0]["DesiredCapacity"] == 2

        stack = open_stack(small_mesh("t3.small", '{"a": 1}'), port, tmp_path, "lives")
        assert changes(stack.up()) == {"same": RESOURCES - 1, "update": 1}

        asg.delete_auto_scaling_group(AutoScalingGroupName=group, ForceDelete=True)
        assert changes(stack.refresh()) == {"same": RESOURCES - 1, "delete": 1}
        assert changes(stack.up()) == {"same": RESOURCES - 1, "create": 1}
        assert changes(stack.destroy()) == {"delete": RESOURCES}


def test_what_a_killed_engine_left_is_adopted_by_the_next_up(moto_url: str, tmp_path: Path) -> None:
    """The engine dies by SIGKILL once some resources exist; the next up ends with each of them there once."""
    ec2 = client(moto_url, "ec2")
    before = {vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]}
    with plugin(moto_url, tmp_path) as port:
        _up_and_kill_the_engine(ec2, before, port, tmp_path)
    left = {vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]} - before
    assert len(left) == 1
    assert not list(tmp_path.rglob("*.attrs")), "a file that the kill may have cut, and that stops every later command"
    with plugin(moto_url, tmp_path) as port:
        stack = open_stack(small_mesh("t3.micro", "{}"), port, tmp_path, "killed")
        stack.cancel()
        made = stack.up()
        assert {vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]} - before == left
        of_vpc = {"Name": "vpc-id", "Values": list(left)}
        subnets = ec2.describe_subnets(Filters=[of_vpc])["Subnets"]
        assert sorted(subnet["CidrBlock"] for subnet in subnets) == ["127.50.0.0/24", "127.50.1.0/24"]
        assert made.outputs["vpc"].value.endswith(next(iter(left)))
        assert changes(stack.up()) == {"same": RESOURCES}
        stack.destroy()
    assert {vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]} == before


def _up_and_kill_the_engine(ec2: Any, before: set[str], port: str, directory: Path) -> None:
    """A process of its own runs the up; of its children the one called pulumi is killed as soon as a VPC exists."""
    program = (
        "from pathlib import Path; from tests.local.provider.small_mesh import open_stack, small_mesh; "
        f"open_stack(small_mesh('t3.micro', '{{}}'), {port!r}, Path({str(directory)!r}), 'killed').up()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL) as runner:
        while not {vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]} - before:
            assert runner.poll() is None, "the up ended before its VPC was seen"
            time.sleep(0.005)
        for child in psutil.Process(runner.pid).children(recursive=True):
            if child.name() == "pulumi":
                child.send_signal(signal.SIGKILL)
        assert runner.wait(30) != 0
