"""The stack's YAML files as the engine sees them: copies in the state directory.

The Automation API rewrites the files of its work directory, and a local stack has other networks than the config says.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import yaml

from cli.exits import Exit, Stop
from cli.mistakes import refuse
from cli.stack_yaml import load
from model.contract import PROJECT
from model.problems import ConfigError, Problem, shown

MESH_KEY = f"{PROJECT}:mesh"
LOCAL_KEY = f"{PROJECT}:local"
SECRETS_KEYS = ("secretsprovider", "encryptedkey", "encryptionsalt")
"""Keys of a stack file that say how its secrets are kept: by a KMS key of an AWS account, or by a passphrase of its owner."""
SALT = re.compile("v1:[^:]+:.+")
"""As Pulumi writes it: version, salt, and a text encrypted by the passphrase."""
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
    """Reads a stack's file; raises Stop when it is missing, or with the place of each mistake.

    A mistake here is one that hides the config from Pulumi; what the config says, `config_check` judges.
    """
    path = stack_file(repo, stack)
    try:
        content = load(_text(path), path.name)
        if problems := list(_mistakes(content)):
            raise ConfigError(problems)
    except ConfigError as error:
        refuse(path.name, error)
    except OSError as error:
        raise Stop(f"{path.name} cannot be read: {error.strerror}", Exit.USAGE) from error
    return StackFile(path=path, content=content)


def _text(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = len(data[: error.start].split(b"\n")), data[error.start]
        place = f"{path.name}, line {line}"
        raise ConfigError([Problem(place, f"byte {byte:#x}", "a stack file is UTF-8", "save it in that encoding")]) from error


def _mistakes(content: Any) -> Iterator[Problem]:
    """Keys at the places where Pulumi looks for them, in the form that it takes."""
    config = content.get("config") if isinstance(content, dict) else None
    if not isinstance(config, dict):
        rule = "a stack file is a mapping in which `config` is one too: Pulumi keeps a stack's settings there"
        fix = "write `config:` and below it the keys, as in Pulumi.local.yaml"
        yield Problem("config", shown(config) if config is not None else "(not set)", rule, fix)
        return
    for key in SECRETS_KEYS:
        if not isinstance(content.get(key, ""), str):
            yield Problem(key, shown(content[key]), "Pulumi writes text here", f"remove `{key}`, or write it as Pulumi did")
    salt = content.get("encryptionsalt")
    if isinstance(salt, str) and not SALT.fullmatch(salt):
        rule = "Pulumi writes this key, as `v1:<salt>:<text>`"
        yield Problem("encryptionsalt", shown(salt), rule, "remove it, or restore what Pulumi wrote")
    for key, value in config.items():
        if not re.fullmatch("[^:]+:[^:]+", key):
            namespace = key.partition(":")[0] if ":" in key else PROJECT
            fix = f"write `{namespace or PROJECT}:{key.rpartition(':')[2] or 'mesh'}`"
            yield Problem(key, shown(value), "a key of a stack's config is <namespace>:<name>", fix)


def localized(file: StackFile, network: IPv4Network) -> StackFile:
    """The stack as it runs on this machine: its VPCs in `network`.

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
    return StackFile(path=file.path, content={**file.content, "config": config})


def _placed(file: StackFile, outer: list[Any], pieces: list[IPv4Network]) -> list[Any]:
    if len(outer) > len(pieces):
        place = f"{file.path.name}: {MESH_KEY}.edge.outer"
        raise Stop(f"{place}: {len(outer)} regions; one machine's addresses have room for {len(pieces)}. Name fewer.", Exit.USAGE)
    return [{**item, "cidr": str(piece)} if isinstance(item, dict) else item for item, piece in zip(outer, pieces, strict=False)]


def lay_out(repo: Path, file: StackFile, workspace: Path) -> None:
    """Writes Pulumi.yaml and the stack's file into `workspace`, the latter without what says how AWS' copy keeps its secrets.

    The salt of the stack's secrets stays as an earlier run left it: with a new one, old secrets could not be read.
    """
    workspace.mkdir(parents=True, exist_ok=True)
    (workspace / "Pulumi.yaml").write_bytes((repo / "Pulumi.yaml").read_bytes())
    target = workspace / file.path.name
    content = {key: value for key, value in file.content.items() if key not in SECRETS_KEYS}
    if target.exists():
        salt = yaml.safe_load(target.read_text()).get("encryptionsalt")
        if salt is not None:
            content["encryptionsalt"] = salt
    target.write_text(yaml.safe_dump(content, sort_keys=False, width=10**9))
