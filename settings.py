"""The program's settings: the only reader of Pulumi's config.

Everything is checked here, before the first resource is declared; a mistake ends the program with its message alone.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import yaml
from pulumi.runtime.config import CONFIG, get_config_env
from pydantic_core import PydanticCustomError

from components import subnets, user_data_sizes
from components.firewall_rules import rules
from model import builds, words
from model.contract import PROJECT
from model.problems import ConfigError, Problem, problem_of, shown, suggestion
from model.proto_files import compile_bridges
from model.read import read_mesh
from model.spec import MeshSpec

KEYS = ("mesh", "zoneNames", "publicZone", "local")
"""All keys of the project's own namespace, as Pulumi.yaml declares them; Pulumi itself lets any other pass."""
KMS_PROVIDERS = ("awskms:", "azurekeyvault:", "gcpkms:", "hashivault:")
PROJECT_DIRECTORY = Path(__file__).parent
PLACEHOLDER_DIGEST = "@sha256:" + "0" * 64
LOCAL_AMI = "ami-00000000"
"""A local machine boots no image; EC2's API wants a name for one nevertheless."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the program builds."""

    stack: str
    region: str
    zones: list[str]
    """Names of the availability zones."""
    mesh: MeshSpec
    ami: str
    descriptors: dict[str, bytes]
    """Compiled protos of the bridges, by service."""
    public_zone: str | None
    """Id of the public hosted zone that gets the edge's records."""


def read_settings() -> Settings:
    """Reads and checks the stack's config; raises ConfigError with every mistake."""
    config, problems = pulumi.Config(), _unknown_keys()
    region = _region(problems)
    mesh = _mesh(config, region, problems)
    zones = _zones(config, region, mesh.network.zones if mesh else None, problems)
    if mesh:
        problems += _quota_problems(mesh)
        problems += builds.unbuildable(mesh, PROJECT_DIRECTORY, root=f"{PROJECT}:mesh")
        problems += user_data_sizes.problems(mesh, stack=pulumi.get_stack(), region=region or "", root=f"{PROJECT}:mesh")
        if mesh.production and not mesh.is_local:
            problems += _secrets_provider_problems(_secrets_provider(pulumi.get_stack()))
            problems += _unlocked_images(mesh)
    descriptors = _descriptors(mesh, problems) if mesh else {}
    public_zone = _public_zone(config, problems)
    if problems or mesh is None or region is None:
        raise ConfigError(problems)
    return Settings(
        stack=pulumi.get_stack(),
        region=region,
        zones=zones,
        mesh=mesh,
        ami=mesh.machines.ami or LOCAL_AMI,
        descriptors=descriptors,
        public_zone=public_zone,
    )


def _unknown_keys() -> list[Problem]:
    """Keys of the project's namespace that nobody reads; those of other namespaces are for Pulumi's providers to judge."""
    given = {**get_config_env(), **CONFIG.get()}
    names = {name: value for key, value in given.items() for namespace, _, name in [key.partition(":")] if namespace == PROJECT}
    return [
        Problem(f"{PROJECT}:{name}", shown(value), "this key is not known here", suggestion(name, KEYS))
        for name, value in names.items()
        if name not in KEYS
    ]


def _region(problems: list[Problem]) -> str | None:
    name = pulumi.Config("aws").get("region")
    if not name:
        problems.append(Problem("aws:region", "(not set)", "a stack lies in one region", "add `aws:region: eu-central-1`"))
        return None
    try:
        return words.region(name)
    except PydanticCustomError as error:
        problems.append(problem_of(error, "aws:region", name))
        return None


def _mesh(config: pulumi.Config, region: str | None, problems: list[Problem]) -> MeshSpec | None:
    root = f"{PROJECT}:mesh"
    rule, fix = "a mesh is a mapping with domain, network and services", "see Pulumi.local.yaml for an example"
    text = config.get("mesh")
    local = _local(config, problems)
    if local is None:
        return None
    try:
        if text:
            return read_mesh(json.loads(text), local=local, region=region, root=root)
        problems.append(Problem(root, "(not set)", rule, fix))
    except json.JSONDecodeError:
        problems.append(Problem(root, shown(text), rule, fix))
    except ConfigError as error:
        problems += error.problems
    return None


def _local(config: pulumi.Config, problems: list[Problem]) -> bool | None:
    """None where the key says neither: half of what holds for a mesh depends on it."""
    try:
        return config.get_bool("local") or False
    except pulumi.ConfigTypeError:
        rule = "this is true or false, and `./mesh` alone sets it"
        problems.append(Problem(f"{PROJECT}:local", shown(config.get("local")), rule, "remove the key"))
        return None


def _descriptors(mesh: MeshSpec, problems: list[Problem]) -> dict[str, bytes]:
    compiled, mistakes = compile_bridges(mesh, PROJECT_DIRECTORY, root=f"{PROJECT}:mesh")
    problems += mistakes
    return compiled


def _zones(config: pulumi.Config, region: str | None, count: int | None, problems: list[Problem]) -> list[str]:
    """Named zones, for accounts that lack one of the first letters; else the region's first. `count` is None where the mesh is wrong."""
    try:
        named: Any = config.get_object("zoneNames")
    except pulumi.ConfigTypeError:
        named = config.get("zoneNames")
    if named is None or named == []:
        return subnets.zone_names(region or "", count or 1)
    path, pattern = f"{PROJECT}:zoneNames", (re.escape(region) if region else ".+") + "[a-z]"
    if not isinstance(named, list) or not all(isinstance(zone, str) and re.fullmatch(pattern, zone) for zone in named):
        rule = f"this is a list of names of {region or 'the region'}'s zones"
        example = region or "eu-central-1"
        problems.append(Problem(path, shown(named), rule, f"write for example [{example}a, {example}b], or remove the key"))
    elif len(set(named)) != len(named) or len(named) != (count or len(named)):
        count = count or len(set(named))
        rule = f"the mesh spreads over {count} zones, each named once"
        problems.append(Problem(path, shown(named), rule, f"name {count} different zones, or change `network.zones`"))
    else:
        return named
    return []


def _public_zone(config: pulumi.Config, problems: list[Problem]) -> str | None:
    zone = config.get("publicZone") or None
    if zone and not re.fullmatch(r"Z[A-Z0-9]{6,31}", zone):
        rule = "a hosted zone's id is Z and capital letters and digits"
        problems.append(Problem(f"{PROJECT}:publicZone", repr(zone), rule, "write for example `Z0123456789ABCDEFGHIJ`"))
    return zone


def _quota_problems(mesh: MeshSpec) -> list[Problem]:
    try:
        rules(mesh)
    except ValueError as error:
        message, _, fix = str(error).partition(": ")
        return [Problem(f"{PROJECT}:mesh.services", f"{len(mesh.services)} services", message, fix)]
    return []


def _secrets_provider(stack: str) -> str | None:
    """Pulumi keeps it beside the config, in the same file, and shows it to no program."""
    file = PROJECT_DIRECTORY / f"Pulumi.{stack}.yaml"
    document = yaml.safe_load(file.read_text()) if file.exists() else None
    return document.get("secretsprovider") if isinstance(document, dict) else None


def _secrets_provider_problems(provider: str | None) -> list[Problem]:
    """The mesh's keys lie in the stack's state; a passphrase protects them with something nobody can revoke."""
    if str(provider or "").startswith(KMS_PROVIDERS):
        return []
    return [
        Problem(
            "secretsprovider",
            repr(provider) if provider else "(not set)",
            "production keeps the secrets in the stack's state under a KMS key",
            'run `pulumi stack change-secrets-provider "awskms://alias/…"`',
        )
    ]


def _unlocked_images(mesh: MeshSpec) -> list[Problem]:
    """A stack that was never deployed may be previewed with placeholders for digests, not deployed."""
    if pulumi.runtime.is_dry_run():
        return []
    rule = "this digest is a placeholder, no image has it"
    fix = "write the digest that `docker buildx imagetools inspect {}:<tag>` shows"
    return [
        Problem(f"{PROJECT}:mesh.machines.images.{name}", repr(ref), rule, fix.format(ref.partition("@")[0]))
        for name, ref in mesh.images.items()
        if ref.endswith(PLACEHOLDER_DIGEST)
    ]
