"""The real Pulumi engine drives the plugin process: preview, up, no-op, refresh, update, a killed engine, destroy."""

import base64
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pulumi
import pulumi_aws as aws
import pulumi_random as random
import pulumi_tls as tls
import pytest
from pulumi import automation as auto

pytestmark = pytest.mark.components

REGION = "eu-central-1"


@pytest.fixture(scope="module")
def provider(moto_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The port of a plugin process."""
    state = tmp_path_factory.mktemp("provider")
    command = [sys.executable, "-m", "local.provider", "--moto-url", moto_url, "--region", REGION, "--state", str(state)]
    started = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout
    port = process.stdout.readline().strip()
    print(f"provider served {time.monotonic() - started:.2f} s after its start")
    yield port
    process.stdin.close()
    assert process.wait(5) == 0
    lines = [dict(word.split("=", 1) for word in line.split(" ")[:4]) for line in (state / "provider.log").read_text().splitlines()]
    for verb in ("check", "diff", "create", "read", "update", "delete"):
        spans = sorted(int(line["ms"]) for line in lines if line["verb"] == verb)
        print(f"{verb}: {len(spans)} calls, median {spans[len(spans) // 2]} ms, longest {spans[-1]} ms")


@pytest.fixture(autouse=True)
def _pulumi_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CLI on PATH, else the one that `./mesh` keeps in its cache."""
    if shutil.which("pulumi"):
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "envoy-mesh" / "pulumi"
    made = sorted(cache.glob("*/pulumi"))
    if not made:
        pytest.skip(f"no Pulumi CLI on PATH nor below {cache}; ./mesh makes it on its first run")
    monkeypatch.setenv("PATH", f"{made[-1].parent}{os.pathsep}{os.environ['PATH']}")


def open_stack(program: Callable[[], None], port: str, directory: Path, name: str) -> auto.Stack:
    environment = {
        "PULUMI_CONFIG_PASSPHRASE": "",
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_DEBUG_PROVIDERS": f"aws:{port},tls:{port},random:{port}",
    }
    project = auto.ProjectSettings(name=name, runtime="python", backend=auto.ProjectBackend(url=f"file://{directory}"))
    options = auto.LocalWorkspaceOptions(
        project_settings=project,
        secrets_provider="passphrase",
        env_vars=environment,
    )
    stack = auto.create_or_select_stack("test", program=program, project_name=name, opts=options)
    stack.set_config("aws:region", auto.ConfigValue(REGION))
    return stack


def small_mesh(user_data: str, route: str) -> Callable[[], None]:
    def program() -> None:
        zones = aws.get_availability_zones(state="available")
        vpc = aws.ec2.Vpc("mesh", cidr_block="127.50.0.0/16", tags={"mesh:stack": "test"})
        subnets = [
            aws.ec2.Subnet(f"mesh-{i}", vpc_id=vpc.id, cidr_block=f"127.50.{i}.0/24", availability_zone=zones.names[i]) for i in range(2)
        ]
        group = aws.ec2.SecurityGroup("service", vpc_id=vpc.id)
        aws.vpc.SecurityGroupIngressRule(
            "ingress", security_group_id=group.id, ip_protocol="tcp", from_port=8000, to_port=8000, referenced_security_group_id=group.id
        )
        role = aws.iam.Role("service", assume_role_policy='{"Version": "2012-10-17", "Statement": []}')
        profile = aws.iam.InstanceProfile("service", role=role.name)
        template = aws.ec2.LaunchTemplate(
            "service",
            image_id="ami-12c6146b",
            instance_type="t3.micro",
            user_data=base64.b64encode(user_data.encode()).decode(),
            vpc_security_group_ids=[group.id],
            iam_instance_profile={"name": profile.name},
        )
        aws.autoscaling.Group(
            "service",
            min_size=1,
            max_size=3,
            desired_capacity=1,
            vpc_zone_identifiers=[subnet.id for subnet in subnets],
            launch_template={"id": template.id, "version": template.latest_version.apply(str)},
            opts=pulumi.ResourceOptions(ignore_changes=["desired_capacity"]),
        )
        bucket = aws.s3.Bucket("mesh", force_destroy=True)
        document = aws.s3.BucketObjectv2("document", bucket=bucket.bucket, key="documents/mesh.json", content=route)
        key = tls.PrivateKey("ca", algorithm="ECDSA", ecdsa_curve="P256")
        authority = tls.SelfSignedCert(
            "ca",
            private_key_pem=key.private_key_pem,
            is_ca_certificate=True,
            validity_period_hours=24,
            allowed_uses=["cert_signing"],
            subject={"common_name": "ca"},
        )
        password = random.RandomPassword("database", length=24, special=False)
        aws.ssm.Parameter("ca", name="/envoy-mesh/test/ca", type="SecureString", value=key.private_key_pem)
        pulumi.export("vpc", vpc.arn)
        pulumi.export("ca", authority.cert_pem)
        pulumi.export("password", password.result)
        pulumi.export("etag", document.etag)

    return program


def changes(result: Any) -> dict[str, int]:
    summary = result.change_summary if isinstance(result, auto.PreviewResult) else result.summary.resource_changes
    return {str(getattr(kind, "value", kind)): count for kind, count in summary.items()}


def test_a_stack_lives_through_the_real_engine(provider: str, moto_url: str, tmp_path: Path) -> None:
    asg = boto3.client("autoscaling", region_name=REGION, endpoint_url=moto_url, aws_access_key_id="x", aws_secret_access_key="x")
    stack = open_stack(small_mesh("one", "{}"), provider, tmp_path, "lives")
    assert changes(stack.preview()) == {"create": 15}
    made = stack.up()
    assert changes(made) == {"create": 15}
    assert made.outputs["vpc"].value.startswith(f"arn:aws:ec2:{REGION}:123456789012:vpc/vpc-")
    assert made.outputs["ca"].value.startswith("-----BEGIN CERTIFICATE-----")
    assert made.outputs["password"].secret
    assert len(made.outputs["password"].value) == 24
    assert changes(stack.up()) == {"same": 15}
    assert changes(stack.refresh()) == {"same": 15}

    name = next(group["AutoScalingGroupName"] for group in asg.describe_auto_scaling_groups()["AutoScalingGroups"])
    asg.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=2)
    stack = open_stack(small_mesh("two", "{}"), provider, tmp_path, "lives")
    assert changes(stack.preview()) == {"same": 13, "update": 2}
    assert changes(stack.up()) == {"same": 13, "update": 2}
    assert asg.describe_auto_scaling_groups()["AutoScalingGroups"][0]["DesiredCapacity"] == 2

    stack = open_stack(small_mesh("two", '{"a": 1}'), provider, tmp_path, "lives")
    assert changes(stack.up()) == {"same": 14, "update": 1}

    asg.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)
    assert changes(stack.refresh()) == {"same": 14, "delete": 1}
    assert changes(stack.up()) == {"same": 14, "create": 1}
    assert changes(stack.destroy()) == {"delete": 15}


def test_what_a_killed_engine_left_is_adopted_by_the_next_up(provider: str, moto_url: str, tmp_path: Path) -> None:
    """The engine dies by SIGKILL once some resources exist; the next up ends with each of them there once."""
    ec2 = boto3.client("ec2", region_name=REGION, endpoint_url=moto_url, aws_access_key_id="x", aws_secret_access_key="x")
    before = {vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]}
    stack = open_stack(small_mesh("one", "{}"), provider, tmp_path, "killed")
    stopped = threading.Event()
    killer = threading.Thread(target=_kill_engine_after_first_vpc, args=(ec2, before, stopped))
    killer.start()
    with pytest.raises(auto.CommandError):
        stack.up()
    stopped.set()
    killer.join()
    stack.cancel()
    stack.up()
    mine = [vpc for vpc in ec2.describe_vpcs()["Vpcs"] if vpc["CidrBlock"] == "127.50.0.0/16"]
    assert len(mine) == 1
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [mine[0]["VpcId"]]}])["Subnets"]
    assert sorted(subnet["CidrBlock"] for subnet in subnets) == ["127.50.0.0/24", "127.50.1.0/24"]
    assert set(changes(stack.up())) == {"same"}
    stack.destroy()
    assert {vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]} == before


def _kill_engine_after_first_vpc(ec2: Any, before: set[str], stopped: threading.Event) -> None:
    """Ends our own child only: the pulumi process whose parent is this test."""
    while not stopped.wait(0.005):
        if {vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"]} - before:
            for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split() + _children_of_threads():
                if Path(f"/proc/{pid}/comm").read_text().strip() == "pulumi":
                    os.kill(int(pid), signal.SIGKILL)
            return


def _children_of_threads() -> list[str]:
    return [pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()]
