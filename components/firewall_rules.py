"""Who may call whom, on which port: the mesh's arrows as data, made from its model and nothing else.

Security groups do not reach across regions: on either side of a peering the other side's machines are ranges of addresses.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

from components import subnets
from model.contract import (
    CONSOLE_PORT,
    IDENTITY_PORT,
    INGRESS_PORT,
    METRICS_PORT,
    ORIGIN_PORT,
    POSTGRES_PORT,
    XDS_PORT,
    Role,
)
from model.identity import is_builtin
from model.spec import MeshSpec

INTERNET = "internet"
"""Any address: callers of the edge, and what machines call outside."""
AWS = "aws"
"""The interface endpoints and the S3 gateway endpoint of a VPC without NAT."""
MACHINE = "machine"
"""Security group that every machine has."""
ENVOY = "envoy"
"""Security group that every machine with an Envoy has; keeps the control plane's rules few in a large mesh."""
EDGE = "edge"
OUTER_EDGE = "outer-edge"
"""A group in the VPCs of outer edges; in the stack's own VPC the ranges of those."""
FIXED = "fixed"
"""In the VPCs of outer edges: the control planes and the monitoring machine, as the ranges of their subnets."""
DATABASE = "database"
CONTROL_PLANE = "control-plane"
MONITORING = "monitoring"
IDENTITY = "identity"
ENDPOINTS = "endpoints"
"""Security group of the interface endpoints."""
EVERYWHERE = IPv4Network("0.0.0.0/0")
HTTPS = 443
HTTP = 80


def service_group(name: str) -> str:
    """Name of a service's security group; the prefix keeps it apart from the groups of roles."""
    return f"service-{name}"


@dataclass(frozen=True, order=True)
class Rule:
    """`caller` may open TCP connections to `port` of `callee`; both are names of groups or of ranges, or `AWS`."""

    caller: str
    callee: str
    port: int

    def __str__(self) -> str:
        return f"{self.caller} may call {self.callee} on port {self.port}"


def groups(mesh: MeshSpec) -> list[str]:
    """Names of all security groups of a mesh."""
    names = [MACHINE, ENVOY, EDGE, CONTROL_PLANE, MONITORING, *map(service_group, mesh.services)]
    if mesh.database:
        names.append(DATABASE)
    if is_builtin(mesh):
        names.append(IDENTITY)
    if mesh.network.nat == "none":
        names.append(ENDPOINTS)
    return names


def networks(mesh: MeshSpec) -> dict[str, list[IPv4Network]]:
    """The parties of `rules` that are ranges of addresses."""
    outer = [spec.cidr for spec in mesh.edge.outer]
    return {INTERNET: [EVERYWHERE], **({OUTER_EDGE: outer} if outer else {})}


def outer_groups() -> list[str]:
    """Names of all security groups of a VPC of outer edges."""
    return [OUTER_EDGE]


def outer_networks(mesh: MeshSpec, zones: int) -> dict[str, list[IPv4Network]]:
    """The parties of `outer_rules` that are ranges; `zones` is how many the stack's own VPC has."""
    plan = subnets.plan(mesh.network.cidr, zones)
    return {INTERNET: [EVERYWHERE], EDGE: [zone.public for zone in plan], FIXED: [zone.fixed for zone in plan]}


def groups_of(role: Role, service: str) -> list[str]:
    """The security groups that a machine has, its own first."""
    if role is Role.OUTER_EDGE:
        return [OUTER_EDGE]
    own = service_group(service) if role is Role.SERVICE else role.value
    envoy = role in (Role.EDGE, Role.SERVICE, Role.DATABASE)
    return [own, ENVOY, MACHINE] if envoy else [own, MACHINE]


def rules(mesh: MeshSpec) -> list[Rule]:
    """Every connection that the mesh needs, sorted; what is not listed is refused. Raises ValueError beyond a quota."""
    wanted = sorted({*_traffic(mesh), *_control(), *_observation(mesh), *_outside(mesh), *_from_outer_edges(mesh)})
    _check_quota(wanted, networks(mesh), mesh.quotas.rules_per_group)
    return wanted


def outer_rules(mesh: MeshSpec) -> list[Rule]:
    """Every connection of the outer edges of one region, sorted."""
    return sorted(
        {
            Rule(INTERNET, OUTER_EDGE, mesh.edge.https),
            Rule(INTERNET, OUTER_EDGE, mesh.edge.http),
            Rule(OUTER_EDGE, EDGE, ORIGIN_PORT),
            Rule(OUTER_EDGE, FIXED, XDS_PORT),
            Rule(FIXED, OUTER_EDGE, METRICS_PORT),
            Rule(OUTER_EDGE, INTERNET, HTTPS),
            Rule(OUTER_EDGE, INTERNET, HTTP),
        }
    )


def _traffic(mesh: MeshSpec) -> Iterator[Rule]:
    yield Rule(INTERNET, EDGE, mesh.edge.https)
    yield Rule(INTERNET, EDGE, mesh.edge.http)
    if is_builtin(mesh):
        yield Rule(EDGE, IDENTITY, IDENTITY_PORT)
    for name, service in mesh.services.items():
        if service.edge_routes:
            yield Rule(EDGE, service_group(name), INGRESS_PORT)
        for callee in service.calls:
            if callee == "postgres":
                yield Rule(service_group(name), DATABASE, POSTGRES_PORT)
            else:
                yield Rule(service_group(name), service_group(callee), INGRESS_PORT)


def _control() -> Iterator[Rule]:
    yield Rule(ENVOY, CONTROL_PLANE, XDS_PORT)
    yield Rule(CONTROL_PLANE, ENVOY, METRICS_PORT)
    yield Rule(CONTROL_PLANE, CONTROL_PLANE, CONSOLE_PORT)


def _from_outer_edges(mesh: MeshSpec) -> Iterator[Rule]:
    if mesh.edge.outer:
        yield Rule(OUTER_EDGE, EDGE, ORIGIN_PORT)
        yield Rule(OUTER_EDGE, CONTROL_PLANE, XDS_PORT)
        yield Rule(CONTROL_PLANE, OUTER_EDGE, METRICS_PORT)
        yield Rule(MONITORING, OUTER_EDGE, METRICS_PORT)


def _observation(mesh: MeshSpec) -> Iterator[Rule]:
    yield Rule(MONITORING, ENVOY, METRICS_PORT)
    yield Rule(MONITORING, CONTROL_PLANE, CONSOLE_PORT)
    for name, service in mesh.services.items():
        if service.metrics:
            yield Rule(MONITORING, service_group(name), INGRESS_PORT)


def _outside(mesh: MeshSpec) -> Iterator[Rule]:
    """AWS's APIs and registries; plain HTTP is Ubuntu's package archive, whose packages are signed."""
    if mesh.network.nat == "none":
        yield Rule(MACHINE, AWS, HTTPS)
        yield Rule(MACHINE, ENDPOINTS, HTTPS)
        outside = [EDGE]
    else:
        outside = [MACHINE]
    for caller in outside:
        yield Rule(caller, INTERNET, HTTPS)
        yield Rule(caller, INTERNET, HTTP)
    for service in (mesh.edge.rate_limit_service, mesh.edge.authorizer):
        if service:
            # By name, so its addresses are not known here.
            yield Rule(EDGE, INTERNET, int(service.address.rpartition(":")[2]))


def _check_quota(wanted: list[Rule], ranges: Mapping[str, Sequence[IPv4Network]], quota: int) -> None:
    counts: dict[tuple[str, str], int] = Counter()
    for rule in wanted:
        counts[rule.callee, "in"] += len(ranges.get(rule.caller, (rule.caller,)))
        counts[rule.caller, "out"] += len(ranges.get(rule.callee, (rule.callee,)))
    for (group, direction), number in counts.items():
        if number > quota and group not in (*ranges, AWS):
            raise ValueError(
                f"security group {group!r} needs {number} rules {direction}, the quota is {quota}: "
                "split the service, or raise the quota at AWS and write it as `quotas: {rulesPerGroup: …}`"
            )
