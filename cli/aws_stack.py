"""A stack in an AWS account, only read: its outputs by the Pulumi CLI and the caller's login, its machines by the caller's credentials."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from cli.exits import Exit, Stop
from cli.pulumi_cli import find_pulumi
from cli.session import REPO
from cli.workspace import LOCAL_KEY, StackFile, read_stack_file
from local.supervisor.client import MachineView
from local.tool_cache import cache_directory
from model.contract import TAG_ADDRESS, TAG_ROLE, TAG_SERVICE, TAG_STACK
from model.problems import ConfigError
from model.read import read_mesh
from model.spec import MeshSpec

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef

PULUMI_SECONDS = 120
STANDING = {"ok": "healthy", "initializing": "starting", "impaired": "unhealthy"}
"""Word of EC2's status checks → ours."""
STATES = {"pending": "starting", "running": "healthy"}
"""Word of an instance's state → ours; any other is `stopped`."""


@dataclass(frozen=True, kw_only=True)
class AwsStack:
    """One stack; every method asks AWS or the stack's Pulumi backend anew, and changes nothing."""

    stack: str
    file: StackFile

    @classmethod
    @contextmanager
    def open(cls, stack: str, settings: Mapping[str, str]) -> Iterator["AwsStack"]:
        """The stack, with the caller's own AWS and Pulumi settings in place of the local cloud's while the body runs."""
        file = read_stack_file(REPO, stack)
        isolated = dict(os.environ)
        os.environ.update(settings)
        for name in isolated.keys() - settings.keys():
            del os.environ[name]
        try:
            yield cls(stack=stack, file=file)
        except (BotoCoreError, ClientError) as error:
            raise Stop(f"AWS in {file.region} could not be read: {error}") from error
        finally:
            os.environ.clear()
            os.environ.update(isolated)

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs; raises Stop with what Pulumi says where it has no such stack or no login."""
        words = [str(find_pulumi(REPO, cache_directory()).path), "--non-interactive", "stack", "output", "--json", "--stack", self.stack]
        environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
        done = subprocess.run(words, cwd=REPO, env=environment, capture_output=True, text=True, timeout=PULUMI_SECONDS, check=False)
        if done.returncode != 0:
            said = (done.stderr.strip() or f"it ended with {done.returncode}").splitlines()[-1].removeprefix("error: ")
            raise Stop(f"Pulumi gives no outputs of {self.stack!r}: {said}\n`pulumi login` and `pulumi up -s {self.stack}` come first.")
        outputs: dict[str, Any] = json.loads(done.stdout)
        if not outputs.get("edgeUrls"):
            raise Stop(f"the stack {self.stack!r} has no outputs yet; `pulumi up -s {self.stack}` makes them")
        return outputs

    def mesh(self) -> MeshSpec:
        """The mesh of the stack's config."""
        try:
            return read_mesh(self.file.mesh, local=bool(self.file.content["config"].get(LOCAL_KEY)))
        except ConfigError as error:
            raise Stop(f"{self.file.path.name}: {error}", Exit.USAGE) from error

    def machines(self) -> list[MachineView]:
        """Instances with the stack's tag, but terminated ones, in the stack's own region and in those of outer edges."""
        regions = [self.file.region, *(outer.region for outer in self.mesh().edge.outer)]
        return [machine for region in regions for machine in self._machines_in(region)]

    def _machines_in(self, region: str) -> list[MachineView]:
        ec2 = boto3.client("ec2", region_name=region)
        wanted: list[FilterTypeDef] = [
            {"Name": f"tag:{TAG_STACK}", "Values": [self.stack]},
            {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
        ]
        pages = ec2.get_paginator("describe_instances").paginate(Filters=wanted)
        instances = [instance for page in pages for reservation in page["Reservations"] for instance in reservation["Instances"]]
        checks = {
            status["InstanceId"]: status["InstanceStatus"]["Status"]
            for page in ec2.get_paginator("describe_instance_status").paginate()
            for status in page["InstanceStatuses"]
        }
        groups = self._lifecycles(region)
        return [_view(instance, checks.get(instance["InstanceId"], ""), groups.get(instance["InstanceId"])) for instance in instances]

    def _lifecycles(self, region: str) -> dict[str, tuple[str, str]]:
        """Instance id → Auto Scaling's lifecycle state and health."""
        autoscaling = boto3.client("autoscaling", region_name=region)
        pages = autoscaling.get_paginator("describe_auto_scaling_groups").paginate(
            Filters=[{"Name": f"tag:{TAG_STACK}", "Values": [self.stack]}]
        )
        return {
            instance["InstanceId"]: (instance["LifecycleState"], instance["HealthStatus"])
            for page in pages
            for group in page["AutoScalingGroups"]
            for instance in group["Instances"]
        }


def _view(instance: Mapping[str, Any], check: str, group: tuple[str, str] | None) -> MachineView:
    tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
    health, detail = machine_health(instance["State"]["Name"], check, group)
    return MachineView(
        id=instance["InstanceId"],
        role=tags.get(TAG_ROLE, "?"),
        service=tags.get(TAG_SERVICE, "?"),
        zone=instance["Placement"]["AvailabilityZone"],
        address=tags.get(TAG_ADDRESS) or instance.get("PrivateIpAddress", ""),
        health=health,
        detail=detail,
        elastic_addresses=tuple(filter(None, [instance.get("PublicIpAddress")])),
    )


def machine_health(state: str, check: str, group: tuple[str, str] | None) -> tuple[str, str]:
    """Our word for what EC2 (state and status check) and a machine's group say of it, and what is behind the word."""
    health = STATES.get(state, "stopped")
    if health == "healthy":
        health = STANDING.get(check, health)
    said = [f"EC2: {state}" + (f", checks {check}" if check else "")]
    if group:
        lifecycle, standing = group
        said.append(f"Auto Scaling: {lifecycle}, {standing.lower()}")
        if lifecycle.startswith("Terminating"):
            health = "stopped"
        elif lifecycle.startswith("Pending"):
            health = "starting"
        elif standing.lower() != "healthy":
            health = "unhealthy"
    return health, "; ".join(said)
