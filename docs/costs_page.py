"""The page docs/costs.md: a monthly cost of each AWS stack, computed from its config and the table docs/costs/prices.yaml.

Every machine of a group counts at `replicas.min`.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from components.control_plane import REPLICAS
from components.endpoints import SERVICES
from components.machine_settings import ROOT_DISK_GIB
from model.contract import PROJECT
from model.edge import OuterSpec
from model.identity import is_builtin
from model.read import read_mesh
from model.spec import MeshSpec, ServiceSpec

REPO = Path(__file__).resolve().parent.parent
OWN_IMAGES = 2
"""The agent's and the control plane's; a built-in issuer has one more."""
STACKS = ("dev", "prod")
HEAD = """# Costs

Made from the stack files and [costs/prices.yaml](costs/prices.yaml) by `python -m docs.reference`. Do not edit it by hand.

**Check before you rely on it.** The prices are {region} on-demand list prices as of {date}, in {currency}, without tax,
written down by hand from memory. A month has {hours} hours.
Groups count at `replicas.min`; what a further machine costs is in the last table of its stack.
Data, logs and images are assumptions, marked *assumed*; they stand in the same file. A standard SSM parameter, a security group,
the S3 gateway endpoint, a VPC peering and an Auto Scaling group cost nothing. Machines in other regions count at the prices of {region}.

| stack | machines | vCPUs | a month |
|---|---:|---:|---:|
{totals}
"""


class InstancePrice(BaseModel):
    """An instance type's price and what it takes of the vCPU quota."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    hour: float
    vcpus: int


class Prices(BaseModel):
    """The table, as it stands in the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    date: date
    region: str
    currency: str
    hours: int
    instances: dict[str, InstancePrice]
    units: dict[str, float]
    assumptions: dict[str, float]

    def instance(self, kind: str) -> InstancePrice:
        """Price of an instance type; raises ValueError that says where to add a missing one."""
        if kind not in self.instances:
            raise ValueError(f"docs/costs/prices.yaml has no price of {kind!r}: add it to `instances`, with a new `date`")
        return self.instances[kind]


@dataclass(frozen=True, kw_only=True)
class Item:
    """One line of a bill: `count` of something at `price` a month each."""

    what: str
    count: float
    price: float

    @property
    def month(self) -> float:
        """The line's sum."""
        return self.count * self.price


def read_prices() -> Prices:
    """The price table of the repository."""
    return Prices.model_validate(yaml.safe_load((REPO / "docs" / "costs" / "prices.yaml").read_text()))


def read_stack(stack: str) -> MeshSpec:
    """The mesh of a stack file."""
    config = yaml.safe_load((REPO / f"Pulumi.{stack}.yaml").read_text())["config"]
    return read_mesh(config[f"{PROJECT}:mesh"])


def machines(mesh: MeshSpec) -> Counter[str]:
    """How many machines there are of each instance type."""
    count = Counter({mesh.edge.instance_type: mesh.edge.instances + sum(outer.instances for outer in mesh.edge.outer)})
    count[mesh.machines.control_plane_type] += REPLICAS + is_builtin(mesh)
    count[mesh.observability.instance_type] += 1
    if mesh.database:
        count[mesh.database.instance_type] += 1
    for service in mesh.services.values():
        count[service.instance_type] += service.replicas.min
    return count


def bill(mesh: MeshSpec, prices: Prices) -> list[Item]:
    """What a month of the mesh costs, line by line."""
    units, hours = prices.units, prices.hours
    gateways = {"none": 0, "single": 1, "per-zone": mesh.network.zones}[mesh.network.nat]
    builds = {service.image.build for service in mesh.services.values() if service.image.build}
    secrets = 1 + (1 + len(mesh.callers_of("postgres")) if mesh.database else 0)
    kinds = machines(mesh)
    data = mesh.observability.prometheus.storage_gib + (mesh.database.storage_gib if mesh.database else 0)
    disks = kinds.total() * ROOT_DISK_GIB + data
    endpoints = len(SERVICES) * mesh.network.zones if mesh.network.nat == "none" else 0
    addresses = mesh.edge.instances + sum(outer.instances for outer in mesh.edge.outer) + gateways
    items = [Item(what=f"EC2 {kind}", count=count, price=prices.instance(kind).hour * hours) for kind, count in sorted(kinds.items())]
    items += [
        Item(what="EBS gp3, GiB: root disks and data volumes", count=disks, price=units["gp3"]),
        Item(what="public IPv4 addresses: edges and NAT", count=addresses, price=units["public_ipv4"] * hours),
        Item(what="NAT gateways", count=gateways, price=units["nat_gateway"] * hours),
        Item(what="interface endpoints, each in each zone", count=endpoints, price=units["interface_endpoint"] * hours),
        Item(what="Secrets Manager secrets", count=secrets, price=units["secret"]),
        Item(what="private hosted zone", count=1, price=units["hosted_zone"]),
        Item(what="KMS key of the secrets provider", count=int(mesh.production), price=units["kms_key"]),
        *_assumed(mesh, prices, repositories=len(builds) + OWN_IMAGES + is_builtin(mesh)),
    ]
    return [item for item in items if item.count]


def _assumed(mesh: MeshSpec, prices: Prices, *, repositories: int) -> list[Item]:
    units, assumed = prices.units, prices.assumptions
    way_out = ("interface endpoints", "endpoint_data") if mesh.network.nat == "none" else ("NAT gateways", "nat_data")
    polls = assumed["control_polls_per_second"] * 3600 * prices.hours
    zone_gb = assumed["zone_gb"] if mesh.network.zones > 1 else 0
    return [
        Item(what=f"*assumed:* GB through {way_out[0]}", count=assumed["nat_gb"], price=units[way_out[1]]),
        Item(what="*assumed:* GB between zones", count=zone_gb, price=units["zone_data"]),
        Item(what="*assumed:* GB between regions", count=assumed["region_gb"] * len(mesh.edge.outer), price=units["region_data"]),
        Item(what="*assumed:* GB out to the internet", count=assumed["internet_gb"], price=units["internet_data"]),
        Item(what="*assumed:* GB of logs", count=assumed["log_gb"], price=units["log_ingestion"] + units["log_storage"]),
        Item(what="*assumed:* GB of our images in ECR", count=assumed["image_gb"] * repositories, price=units["ecr_storage"]),
        Item(what="*assumed:* GB in the bucket", count=assumed["bucket_gb"], price=units["s3_storage"]),
        Item(what="*assumed:* S3 requests of the control planes, million", count=polls / 1e6, price=units["s3_get"] * 1e6),
    ]


def page() -> str:
    """The whole page."""
    prices = read_prices()
    meshes = {stack: read_stack(stack) for stack in STACKS}
    totals = "\n".join(_total(stack, mesh, prices) for stack, mesh in meshes.items())
    facts: dict[str, Any] = prices.model_dump(include={"region", "date", "currency", "hours"})
    stacks = [line for stack in STACKS for line in _stack(stack, meshes[stack], prices)]
    return "\n".join([HEAD.format(**facts, totals=totals), *stacks, *_outer(meshes["prod"], prices)])


def _total(stack: str, mesh: MeshSpec, prices: Prices) -> str:
    kinds = machines(mesh)
    vcpus = sum(prices.instance(kind).vcpus * count for kind, count in kinds.items())
    return f"| `{stack}` | {kinds.total()} | {vcpus} | **{sum(item.month for item in bill(mesh, prices)):,.2f}** |"


def _stack(stack: str, mesh: MeshSpec, prices: Prices) -> list[str]:
    items = bill(mesh, prices)
    rows = [f"| {item.what} | {item.count:,.6g} | {item.price:,.4g} | {item.month:,.2f} |" for item in items]
    more = [_more(name, service, prices) for name, service in mesh.services.items()]
    return [
        f"## `{stack}`",
        "",
        "| | count | each | a month |",
        "|---|---:|---:|---:|",
        *rows,
        f"| **total** | | | **{sum(item.month for item in items):,.2f}** |",
        "",
        "One machine more of a group, with its disk:",
        "",
        "| group | type | machines up to `max` | a month each |",
        "|---|---|---:|---:|",
        *more,
        "",
    ]


def _outer(mesh: MeshSpec, prices: Prices) -> list[str]:
    """What one more region of outer edges adds; no stack of the repository that runs on AWS has any."""
    spec = OuterSpec.model_validate({"region": "us-east-1", "cidr": "10.40.0.0/16"})
    grown = mesh.model_copy(update={"edge": mesh.edge.model_copy(update={"outer": [*mesh.edge.outer, spec]})})
    before = {item.what: item for item in bill(mesh, prices)}
    rows = []
    for item in bill(grown, prices):
        more = item.count - (before[item.what].count if item.what in before else 0)
        if more:
            rows.append(f"| {item.what} | {more:,.6g} | {item.price:,.4g} | {more * item.price:,.2f} |")
    total = sum(item.month for item in bill(grown, prices)) - sum(item.month for item in before.values())
    return [
        "## One region of outer edges",
        "",
        f"What `edge.outer` adds to `prod` for each entry with {spec.instances} instances:",
        "",
        "| | count | each | a month |",
        "|---|---:|---:|---:|",
        *rows,
        f"| **total** | | | **{total:,.2f}** |",
        "",
    ]


def _more(name: str, service: ServiceSpec, prices: Prices) -> str:
    each = prices.instance(service.instance_type).hour * prices.hours + ROOT_DISK_GIB * prices.units["gp3"]
    return f"| `{name}` | {service.instance_type} | {service.replicas.max - service.replicas.min} | {each:,.2f} |"
