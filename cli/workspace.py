"""The stack's YAML files as the engine sees them: copies in the state directory.

The Automation API rewrites the files of its work directory, and a local stack has other networks than the config says.
"""

from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import yaml

from cli.exits import Exit, Stop
from model.contract import PROJECT

MESH_KEY = f"{PROJECT}:mesh"
LOCAL_KEY = f"{PROJECT}:local"
NOT_LOCAL = ("secretsprovider", "encryptedkey")
"""Keys of a stack file that name a KMS key of an AWS account."""
DEFAULT_REGION = "eu-central-1"
OUTER_BITS = 4
"""A VPC of outer edges on this machine has the stack's range divided by 2 to this power."""


@dataclass(frozen=True, kw_only=True)
class StackFile:
    """`Pulumi.<stack>.yaml` as read."""

    path: Path
    content: dict[str, Any]

    @property
    def mesh(self) -> Any:
        """The mesh object, unchecked; None where the file has none."""
        return self.content["config"].get(MESH_KEY)

    @property
    def region(self) -> str:
        """The AWS region of the stack."""
        return str(self.content["config"].get("aws:region", DEFAULT_REGION))


def stack_file(repo: Path, stack: str) -> Path:
    """The path of a stack's file; raises Stop that names the stacks there are when it is missing."""
    path = repo / f"Pulumi.{stack}.yaml"
    if not path.exists():
        names = ", ".join(sorted(found.name.split(".")[1] for found in repo.glob("Pulumi.*.yaml"))) or "none"
        raise Stop(f"no stack {stack!r}: {path.name} is not there. Stacks of this clone: {names}", Exit.USAGE)
    return path


def read_stack_file(repo: Path, stack: str) -> StackFile:
    """Reads a stack's file; raises Stop when it is missing, or with the place of a YAML mistake."""
    path = stack_file(repo, stack)
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise Stop(f"{path.name} is not YAML: {error}", Exit.USAGE) from error
    if not isinstance(content, dict) or not isinstance(content.get("config"), dict):
        raise Stop(f"{path.name}: top level: there is no `config` mapping. Pulumi keeps a stack's settings there.", Exit.USAGE)
    return StackFile(path=path, content=content)


def localized(file: StackFile, network: IPv4Network) -> StackFile:
    """The stack as it runs on this machine: its VPCs in `network`, and no KMS key of an AWS account.

    The VPC of the stack's own region gets the lower half; VPCs of outer edges get sixteenths of the upper one, whose
    last piece stays free: elastic addresses come from its end. What is not of the right shape stays as it is, for the
    check of the config to name.
    """
    config = {**file.content["config"], LOCAL_KEY: True}
    lower, upper = network.subnets(prefixlen_diff=1)
    *pieces, _ = upper.subnets(new_prefix=network.prefixlen + OUTER_BITS)
    if isinstance(file.mesh, dict) and isinstance(file.mesh.get("network"), dict):
        mesh = {**file.mesh, "network": {**file.mesh["network"], "cidr": str(lower)}}
        if isinstance(mesh.get("edge"), dict) and isinstance(mesh["edge"].get("outer"), list):
            mesh["edge"] = {**mesh["edge"], "outer": _placed(file, mesh["edge"]["outer"], pieces)}
        config[MESH_KEY] = mesh
    content = {key: value for key, value in file.content.items() if key not in NOT_LOCAL}
    return StackFile(path=file.path, content={**content, "config": config})


def _placed(file: StackFile, outer: list[Any], pieces: list[IPv4Network]) -> list[Any]:
    if len(outer) > len(pieces):
        place = f"{file.path.name}: {MESH_KEY}.edge.outer"
        raise Stop(f"{place}: {len(outer)} regions; one machine's addresses have room for {len(pieces)}. Name fewer.", Exit.USAGE)
    return [{**item, "cidr": str(piece)} if isinstance(item, dict) else item for item, piece in zip(outer, pieces, strict=False)]


def lay_out(repo: Path, file: StackFile, workspace: Path) -> None:
    """Writes Pulumi.yaml and the stack's file into `workspace`.

    The salt of the stack's secrets stays as an earlier run left it: with a new one, old secrets could not be read.
    """
    workspace.mkdir(parents=True, exist_ok=True)
    (workspace / "Pulumi.yaml").write_bytes((repo / "Pulumi.yaml").read_bytes())
    target = workspace / file.path.name
    content = dict(file.content)
    if target.exists():
        salt = yaml.safe_load(target.read_text()).get("encryptionsalt")
        if salt is not None:
            content["encryptionsalt"] = salt
    target.write_text(yaml.safe_dump(content, sort_keys=False, width=10**9))
