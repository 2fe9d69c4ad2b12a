"""The program under Pulumi's mocks: what it declares, with every option, and (`deployment`) what moto then holds of it."""

import asyncio
import json
import runpy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import boto3
import pulumi
import pytest
import yaml
from pulumi.runtime import rpc
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks, set_mocks
from pulumi.runtime.settings import ROOT, SETTINGS
from pulumi.runtime.stack import run_in_stack

from tests.servers import local_cloud

REPO = Path(__file__).resolve().parents[2]
REGION = "eu-central-1"
STACK = "pulumi:pulumi:Stack"


@dataclass(frozen=True, kw_only=True)
class Declared:
    """One resource as the program asked for it."""

    type: str
    name: str
    urn: str
    parent: str
    custom: bool
    inputs: Mapping[str, Any]
    protect: bool
    delete_before_replace: bool
    ignore_changes: tuple[str, ...]
    dependencies: tuple[str, ...]


@dataclass
class Program:
    """All that a run of the program declared."""

    resources: list[Declared] = field(default_factory=list)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """URN -> what it registered as its outputs; the stack's are under the URN that ends in its name."""

    def of(self, type_: str) -> list[Declared]:
        """The resources of a type."""
        return [resource for resource in self.resources if resource.type == type_]

    def one(self, type_: str, name: str) -> Declared:
        """The resource of that type and name."""
        found = [resource for resource in self.of(type_) if resource.name == name]
        assert len(found) == 1, f"{type_} {name}: {len(found)} of {sorted(r.name for r in self.of(type_))}"
        return found[0]

    @property
    def stack_outputs(self) -> dict[str, Any]:
        return next(outputs for urn, outputs in self.outputs.items() if urn.split("::")[2] == STACK)


class _Recorder(MockMonitor):
    """Pulumi's mock monitor keeps neither options nor registered outputs; both are promises of a component."""

    def __init__(self, mocks: Mocks, program: Program) -> None:
        super().__init__(mocks)
        self._program = program

    def RegisterResource(self, request: Any) -> Any:
        answer = super().RegisterResource(request)
        if request.type != STACK:
            self._program.resources.append(
                Declared(
                    type=request.type,
                    name=request.name,
                    urn=answer.urn,
                    parent=request.parent,
                    custom=request.custom,
                    inputs=rpc.deserialize_properties(request.object),
                    protect=request.protect,
                    delete_before_replace=request.deleteBeforeReplace,
                    ignore_changes=tuple(request.ignoreChanges),
                    dependencies=tuple(request.dependencies),
                )
            )
        return answer

    def RegisterResourceOutputs(self, request: Any) -> Any:
        self._program.outputs[request.urn] = rpc.deserialize_properties(request.outputs)
        return super().RegisterResourceOutputs(request)


class Echo(Mocks):
    """A cloud without rules: outputs are the inputs and a name for the rest."""

    COMPUTED = (
        *("publicIp", "repoDigest", "repositoryUrl", "registryId", "privateKeyPem", "certPem", "certRequestPem", "result", "prefixListId"),
    )

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        computed = {name: f"{name}-of-{args.name}" for name in self.COMPUTED}
        fixed = {"arn": f"arn:aws:mock:::{args.name}", "allocationId": "eipalloc-0abc", "latestVersion": 1, "name": args.name}
        prefix = "vol-0" if args.typ == "aws:ebs/volume:Volume" else f"{args.name}-id"
        return prefix, {**computed, **fixed, **args.inputs}

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        return {"userName": "AWS", "password": "token", "proxyEndpoint": "https://registry"}, []


def stack_config(stack: str) -> dict[str, Any]:
    """The `config` of a committed stack file."""
    config: dict[str, Any] = yaml.safe_load((REPO / f"Pulumi.{stack}.yaml").read_text())["config"]
    return config


def run_program(
    config: Mapping[str, Any],
    *,
    stack: str = "dev",
    mocks: Mocks | None = None,
    preview: bool = False,
    program: Callable[[], None] | None = None,
) -> Program:
    """Runs `__main__.py`, or `program`, and returns what it declared; whatever fails in it fails here."""
    asyncio.set_event_loop(asyncio.new_event_loop())
    declared = Program()
    mocks = mocks or Echo()
    # What a program before it left unawaited, perhaps failed, is not this one's: pulumi.runtime.test drops it too.
    SETTINGS.outputs.clear()
    set_mocks(mocks, project="envoy-mesh", stack=stack, preview=preview, monitor=_Recorder(mocks, declared))
    pulumi.runtime.set_all_config({key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()})

    # set_mocks makes a stack of its own, whose outputs nobody registers.
    ROOT.set(None)

    def main() -> None:
        runpy.run_path(str(REPO / "__main__.py"), run_name="__main__")

    asyncio.get_event_loop().run_until_complete(run_in_stack(program or main))
    return declared


@pytest.fixture(scope="session")
def dev() -> Program:
    """The dev stack as declared."""
    return run_program(stack_config("dev"))


@pytest.fixture(scope="session")
def unrouted() -> Program:
    """The dev stack without NAT and with a public zone: parts that dev itself has not."""
    config = stack_config("dev")
    config["envoy-mesh:mesh"]["network"]["nat"] = "none"
    return run_program({**config, "envoy-mesh:publicZone": "Z0123456789ABCDEFGHIJ"})


@pytest.fixture(scope="session")
def outer() -> Program:
    """The dev stack with outer edges and a public zone."""
    config = stack_config("dev")
    config["envoy-mesh:mesh"]["edge"]["outer"] = [{"region": "us-east-1", "cidr": "10.40.0.0/16", "ami": "ami-0fedcba9876543210"}]
    return run_program({**config, "envoy-mesh:publicZone": "Z0123456789ABCDEFGHIJ"})


@pytest.fixture(scope="session")
def run() -> Callable[..., Program]:
    """`run_program`, for tests with a config of their own."""
    return run_program


@pytest.fixture(scope="session")
def configs() -> Callable[[str], dict[str, Any]]:
    """`stack_config`, which reads a committed stack file anew."""
    return stack_config


@dataclass(frozen=True)
class Deployment:
    """The dev stack in moto."""

    program: Program
    url: str
    made: Mapping[tuple[str, str], tuple[str, Mapping[str, Any]]]

    def client(self, service: str) -> Any:
        connect: Any = boto3.client
        return connect(service, region_name=REGION, endpoint_url=self.url, aws_access_key_id="local", aws_secret_access_key="local")

    def id_of(self, type_: str, name: str) -> str:
        """The cloud's id of a resource."""
        return self.made[type_, name][0]


@pytest.fixture(scope="session")
def deployment() -> Iterator[Deployment]:
    """One deployment for all tests that only read it."""
    from local.provider.mocks import MotoMocks

    config = stack_config("dev")
    with local_cloud(REGION, IPv4Network(config["envoy-mesh:mesh"]["network"]["cidr"])) as url:
        mocks = MotoMocks(url, REGION, project="envoy-mesh", stack="dev")
        program = run_program(config, mocks=mocks)
        assert mocks.problems == []
        yield Deployment(program, url, mocks.made)
