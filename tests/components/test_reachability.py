"""Every stack in moto, and who reaches whom there: the arrows of the mesh, and no other.

It does not prove that AWS enforces its rules as it documents them. `pytest -m components -s` prints both matrices.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import boto3
import pytest

from local.provider.mocks import MotoMocks
from local.reachability import Matrix, Vpc, matrix, reach, read_vpc, together
from model import contract
from model.read import read_mesh
from model.spec import MeshSpec

pytestmark = pytest.mark.components

Arrow = tuple[str, str, int]
SSH = 22
IMAGE = "ami-0123456789abcdef0"
PORTS = {SSH, 80, 443} | {port for name, port in vars(contract).items() if name.endswith("_PORT")}
"""What somebody could want to reach, whether or not a rule names it."""
APIS = ("ecr.api", "ecr.dkr", "ssm", "ssmmessages", "ec2messages", "ec2", "autoscaling", "secretsmanager", "logs", "monitoring", "sts")
"""What machines need of AWS; without NAT each has an interface endpoint."""
REGIONS = {
    "dev": "eu-west-1",
    "local": "eu-west-2",
    "prod": "eu-west-3",
    "no-nat": "eu-north-1",
    "no-database": "us-west-2",
}
"""A region of its own for every stack, since moto's account is one."""


@dataclass(frozen=True)
class Deployed:
    """A stack in moto."""

    mesh: MeshSpec
    vpc_id: str
    ec2: Any
    outer: tuple[tuple[Any, str], ...] = ()
    """Client of each region of outer edges, and the VPC there."""

    def read(self) -> Vpc:
        """The stack's VPC, and those that it is peered with."""
        return together(read_vpc(self.ec2, self.vpc_id), *(read_vpc(ec2, vpc_id) for ec2, vpc_id in self.outer))

    def ports(self, vpc: Vpc) -> set[int]:
        """The contract's, the apps', the edge's, and one of every other class of ports that any rule tells apart."""
        own = {service.port for service in self.mesh.services.values()} | {self.mesh.edge.https, self.mesh.edge.http}
        return PORTS | own | set(vpc.ports())

    def matrix(self) -> Matrix:
        vpc = self.read()
        return matrix(vpc, self.ports(vpc))


def arrows(mesh: MeshSpec) -> set[Arrow]:
    """What must pass, from the mesh alone."""
    has_database = mesh.database is not None
    outer = [spec.region for spec in mesh.edge.outer]
    envoys = ["edge", *outer, *mesh.services, *(["postgres"] if has_database else [])]
    builtin = mesh.edge.auth is not None and mesh.edge.auth.issuer == "builtin"
    machines = [*envoys, "control-plane", "monitoring", *(["identity"] if builtin else [])]
    public = ["edge", *outer]
    wanted: set[Arrow] = {("internet", edge, port) for edge in public for port in (mesh.edge.https, mesh.edge.http)}
    wanted |= {(region, "edge", 8444) for region in outer}
    wanted |= {("edge", name, 8000) for name, service in mesh.services.items() if service.routes or service.bridge}
    wanted |= {("edge", "identity", 8080)} if builtin else set()
    for name, service in mesh.services.items():
        wanted |= {(name, callee, 5432 if callee == "postgres" else 8000) for callee in service.calls}
    for envoy in envoys:
        wanted |= {(envoy, "control-plane", 18000), ("control-plane", envoy, 9902), ("monitoring", envoy, 9902)}
    wanted |= {(caller, "control-plane", 18001) for caller in ("monitoring", "control-plane")}
    wanted |= {("monitoring", name, 8000) for name, service in mesh.services.items() if service.metrics}
    # AWS's APIs and registries are 443, Ubuntu's package archive is 80.
    outside = ["edge"] if mesh.network.nat == "none" else machines
    # An edge takes any address, so also those of the machines that may call any address, unless nothing joins their VPCs.
    open_ports = {443, 80} & {mesh.edge.https, mesh.edge.http}
    wanted |= {(machine, edge, port) for machine in outside for edge in public for port in open_ports if joined(machine, edge, outer)}
    wanted |= {(machine, "internet", port) for machine in outside for port in (443, 80)}
    wanted |= {(machine, "aws:s3", port) for machine in outside for port in (443, 80)}
    if mesh.network.nat == "none":
        wanted |= {(machine, f"aws:{api}", 443) for machine in machines for api in ("s3", *APIS)}
    return wanted


def joined(caller: str, callee: str, outer: list[str]) -> bool:
    """Whether there is a way between two names: regions of outer edges are peered with the stack's own, not with each other."""
    return caller == callee or caller not in outer or callee not in outer


@dataclass
class Deployments:
    """Makes each stack when the first test wants it."""

    url: str
    run: Callable[..., Any]
    configs: Callable[[str], dict[str, Any]]
    made: dict[str, Deployed]

    def __call__(self, name: str) -> Deployed:
        if name not in self.made:
            self.made[name] = self._make(name)
        return self.made[name]

    def _make(self, name: str) -> Deployed:
        stack = name if name in ("dev", "local", "prod") else "dev"
        config, region = self.configs(stack), REGIONS[name]
        config["aws:region"] = region
        mesh = config["envoy-mesh:mesh"]
        if name == "no-nat":
            mesh["network"]["nat"] = "none"
        if name == "no-database":
            mesh["edge"]["outer"] = [
                {"region": "sa-east-1", "cidr": "10.40.0.0/16", "ami": IMAGE},
                {"region": "ap-south-1", "cidr": "10.41.0.0/20", "zones": 1, "ami": IMAGE},
            ]
            del mesh["database"]
            for service in mesh["services"].values():
                service["calls"] = [callee for callee in service.get("calls", []) if callee != "postgres"]
        if name == "prod":
            locked = json.dumps(mesh["machines"]["images"]).replace("0" * 64, "1" * 64)
            mesh["machines"]["images"] = json.loads(locked)
        mocks = MotoMocks(self.url, region, project="envoy-mesh", stack=stack)
        program = self.run(config, stack=stack, mocks=mocks)
        assert mocks.problems == []
        spec = read_mesh(mesh, local=stack == "local")
        ec2 = self.client(region)
        take_addresses(ec2, "edge")
        vpcs = [(self.client(one.region), mocks.made["aws:ec2/vpc:Vpc", f"outer-{one.region}-network-vpc"][0]) for one in spec.edge.outer]
        for there, _ in vpcs:
            take_addresses(there, "outer-edge")
        return Deployed(spec, program.stack_outputs["vpcId"], ec2, tuple(vpcs))

    def client(self, region: str) -> Any:
        connect: Any = boto3.client
        return connect("ec2", region, endpoint_url=self.url, aws_access_key_id="local", aws_secret_access_key="local")


def take_addresses(ec2: Any, role: str) -> None:
    """What the agents of the edges do once their Envoys serve."""
    edges = ec2.describe_instances(Filters=[{"Name": f"tag:{contract.TAG_ROLE}", "Values": [role]}])["Reservations"]
    addresses = ec2.describe_addresses(Filters=[{"Name": f"tag:{contract.TAG_ROLE}", "Values": [role]}])["Addresses"]
    machines = [machine["InstanceId"] for reservation in edges for machine in reservation["Instances"]]
    for machine, address in zip(machines, addresses, strict=True):
        ec2.associate_address(InstanceId=machine, AllocationId=address["AllocationId"], AllowReassociation=True)


@pytest.fixture(scope="module")
def deployed(deployment: Any, run: Callable[..., Any], configs: Callable[[str], dict[str, Any]]) -> Deployments:
    """Every stack in the cloud that the components' tests share."""
    return Deployments(deployment.url, run, configs, {})


@contextmanager
def hole(plant: Callable[..., Any], mend: Callable[..., Any], **arguments: Any) -> Iterator[None]:
    """A change by hand for the time of a test."""
    plant(**arguments)
    try:
        yield
    finally:
        mend(**{key: value for key, value in arguments.items() if key not in ("Protocol", "RuleAction", "CidrBlock", "PortRange")})


def group_of(deployed: Deployed, name: str) -> str:
    """Id of the security group whose tag `Name` that is."""
    (found,) = [group for group, tagged in deployed.read().group_names.items() if tagged == name]
    return found


def from_anywhere(group: str, port: int) -> dict[str, Any]:
    ranges = [{"CidrIp": "0.0.0.0/0"}]
    return {"GroupId": group, "IpPermissions": [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": ranges}]}


@pytest.mark.parametrize("name", REGIONS)
def test_exactly_the_arrows_of_the_mesh_pass(deployed: Deployments, name: str) -> None:
    """Acceptance 24: no arrow leads to an admin port."""
    stack = deployed(name)
    found = stack.matrix()
    pairs = {cell.arrow[:2] for cell in found.cells}
    print(f"\n\n{name}: {len(pairs)} pairs, {len(found.cells)} cells, {len(found.reachable())} pass, {len(found.refused())} are refused")
    print(f"\n{found.allowed_table()}\n\n{found.refused_table()}")
    assert {cell.arrow for cell in found.reachable()} == arrows(stack.mesh)
    assert [cell.arrow for cell in found.cells if not cell.is_uniform] == []


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_every_decision_names_its_rule_or_the_one_that_is_missing(deployed: Deployments, name: str) -> None:
    for cell in deployed(name).matrix().cells:
        for verdict in cell.verdicts:
            named = [step.rule for step in verdict.steps]
            assert all(named), verdict
            assert any(" rule sgr-" in rule for rule in named) if verdict.reachable else verdict.refusals, verdict


def test_a_refusal_says_which_groups_lack_which_rule(deployed: Deployments) -> None:
    cells = {cell.arrow: cell for cell in deployed("dev").matrix().cells}
    refusals = cells["edge", "postgres", 5432].verdicts[0].refusals
    assert refusals == [
        "no egress rule of dev-edge | dev-envoy | dev-machine to postgres",
        "no ingress rule of dev-database | dev-envoy | dev-machine from edge",
    ]
    assert cells["internet", "service-1", 8000].verdicts[0].refusals[0].startswith("no internet route of dev-private-")


@pytest.mark.parametrize("name", REGIONS)
def test_no_route_leads_from_the_internet_gateway_into_a_private_subnet(deployed: Deployments, name: str) -> None:
    stack = deployed(name)
    vpc = stack.read()
    ways = {vpc.subnet_names[subnet]: {route.kind for route in table.routes} for subnet, table in vpc.tables.items()}
    public = {subnet for subnet, kinds in ways.items() if "internet" in kinds}
    assert public == {subnet for subnet in ways if "-public-" in subnet}
    inside = [place for place in vpc.places if place.subnet and vpc.subnet_names[place.subnet] not in public]
    assert not any(place.is_public for place in inside)
    assert {place.name for place in vpc.places if place.subnet} - {place.name for place in inside} == {
        "edge",
        *(spec.region for spec in stack.mesh.edge.outer),
    }


@pytest.mark.parametrize(("name", "gateways"), [("no-nat", 0), ("dev", 1), ("prod", 3)])
def test_private_subnets_leave_by_the_nat_gateways_that_were_asked_for(deployed: Deployments, name: str, gateways: int) -> None:
    vpc = deployed(name).read()
    private = {subnet: table for subnet, table in vpc.tables.items() if "-public-" not in vpc.subnet_names[subnet]}
    used = {route.target for table in private.values() for route in table.routes if route.kind == "nat"}
    assert used == set(vpc.nat_subnets)
    assert len(used) == gateways
    zones = {
        zone_of(vpc, subnet): {zone_of(vpc, vpc.nat_subnets[r.target]) for r in t.routes if r.kind == "nat"}
        for subnet, t in private.items()
    }
    if name == "prod":
        assert all(homes == {zone} for zone, homes in zones.items()), "a zone leaves by its own gateway"


def zone_of(vpc: Vpc, subnet: str) -> str:
    return vpc.subnet_names[subnet][-1]


def test_the_interface_endpoints_are_open_to_machines_only_and_open_nothing(deployed: Deployments) -> None:
    vpc = deployed("no-nat").read()
    endpoints = [place for place in vpc.places if place.listens_only and place.subnet]
    assert {place.name for place in endpoints} == {f"aws:{api}" for api in APIS}
    stranger = replace(vpc.places[0], id="stranger", name="stranger", groups=frozenset())
    outward = replace(stranger, groups=vpc.places[0].groups)
    for place in endpoints:
        assert reach(vpc, outward, place, 443).reachable
        assert reach(vpc, stranger, place, 443).refusals
        assert reach(vpc, vpc.internet()[0], place, 443).refusals


def test_a_database_open_to_everybody_is_found(deployed: Deployments) -> None:
    """The control: inside the VPC one ingress rule is half a hole; with the egress rule it is one. Routes still keep the internet out."""
    stack = deployed("dev")
    ec2, before = stack.ec2, {cell.arrow for cell in stack.matrix().reachable()}
    inward, outward = from_anywhere(group_of(stack, "dev-database"), 5432), from_anywhere(group_of(stack, "dev-machine"), 5432)
    with hole(ec2.authorize_security_group_ingress, ec2.revoke_security_group_ingress, **inward):
        cells = {cell.arrow: cell for cell in stack.matrix().cells}
        assert {arrow for arrow, cell in cells.items() if cell.reachable} == before
        assert cells["internet", "postgres", 5432].verdicts[0].refusals[0].startswith("no internet route of dev-private-")
        assert cells["edge", "postgres", 5432].verdicts[0].refusals == ["no egress rule of dev-edge | dev-envoy | dev-machine to postgres"]
        with hole(ec2.authorize_security_group_egress, ec2.revoke_security_group_egress, **outward):
            opened = {cell.arrow for cell in stack.matrix().reachable()} - before
    assert opened >= {("edge", "postgres", 5432), ("monitoring", "postgres", 5432), ("control-plane", "postgres", 5432)}
    assert {cell.arrow for cell in stack.matrix().reachable()} == before


@pytest.mark.parametrize("port", [SSH, 31337])
def test_an_edge_port_open_to_the_internet_is_found_unless_the_network_acl_stops_it(deployed: Deployments, port: int) -> None:
    """31337 is no port of ours: the matrix also asks for every port that any rule tells apart."""
    stack = deployed("dev")
    inward = from_anywhere(group_of(stack, "dev-edge"), port)
    with hole(stack.ec2.authorize_security_group_ingress, stack.ec2.revoke_security_group_ingress, **inward):
        cells = {cell.arrow: cell for cell in stack.matrix().cells}
    verdict = cells["internet", "edge", port].verdicts[0]
    assert verdict.refusals == (["no entry of network ACL dev-public for requests from internet"] if port == SSH else [])


def test_one_foreign_address_let_in_is_found(deployed: Deployments) -> None:
    stack = deployed("dev")
    inward = from_anywhere(group_of(stack, "dev-edge"), 9902)
    inward["IpPermissions"][0]["IpRanges"] = [{"CidrIp": "8.8.8.0/24"}]
    with hole(stack.ec2.authorize_security_group_ingress, stack.ec2.revoke_security_group_ingress, **inward):
        cells = {cell.arrow: cell for cell in stack.matrix().cells}
    cell = cells["internet", "edge", 9902]
    assert {verdict.caller.id for verdict in cell.verdicts if verdict.reachable} == {"internet 8.8.8.1"}
    assert not cell.is_uniform


def test_a_network_acl_that_refuses_some_replies_breaks_the_arrows_through_it(deployed: Deployments) -> None:
    """ACLs keep no state: replies to the private subnets must pass on every port that a caller may choose."""
    stack = deployed("dev")
    vpc = stack.read()
    (acl,) = {acl.id for subnet, acl in vpc.acls.items() if "-private-" in vpc.subnet_names[subnet]}
    entry = {"NetworkAclId": acl, "RuleNumber": 50, "Egress": False}
    denied = {"Protocol": "6", "RuleAction": "deny", "CidrBlock": "0.0.0.0/0", "PortRange": {"From": 50000, "To": 50010}}
    with hole(stack.ec2.create_network_acl_entry, stack.ec2.delete_network_acl_entry, **entry, **denied):
        cells = {cell.arrow: cell for cell in stack.matrix().cells}
    refusals = cells["service-1", "internet", 443].verdicts[0].refusals
    assert refusals == ["network ACL dev-private entry 50 denies replies from internet"]
    assert not cells["internet", "edge", 443].verdicts[0].refusals


@pytest.mark.parametrize("lost", ["internet", "nat"])
def test_a_lost_default_route_is_named(deployed: Deployments, lost: str) -> None:
    stack = deployed("dev")
    vpc = stack.read()
    (table, *_) = {table.id: table for table in vpc.tables.values() if lost in {route.kind for route in table.routes}}.values()
    (route,) = [route for route in table.routes if route.kind == lost]
    target = {"GatewayId" if lost == "internet" else "NatGatewayId": route.target}
    where = {"RouteTableId": table.id, "DestinationCidrBlock": "0.0.0.0/0"}
    mend = partial(stack.ec2.create_route, **target)
    with hole(stack.ec2.delete_route, mend, **where):
        cut = stack.read()
    caller = next(place for place in cut.places if place.subnet and cut.tables[place.subnet].id == table.id)
    internet = cut.internet()[0]
    assert f"no route of {table.name} to internet" in reach(cut, caller, internet, 443).refusals
    if lost == "internet":
        assert f"no internet route of {table.name} to internet" in reach(cut, internet, caller, 443).refusals
        private = next(place for place in cut.places if place.name == "service-1")
        assert any(
            refusal.startswith(f"no internet route of {table.name} for NAT gateway nat-")
            for refusal in reach(cut, private, internet, 443).refusals
        )


def test_a_peering_leads_outer_edges_to_origin_edges_and_control_planes_only(deployed: Deployments) -> None:
    cells = {cell.arrow: cell for cell in deployed("local").matrix().cells}
    assert cells["us-east-1", "edge", contract.ORIGIN_PORT].reachable
    assert cells["us-east-1", "control-plane", contract.XDS_PORT].reachable
    reached = {arrow[1:] for arrow, cell in cells.items() if arrow[0] == "us-east-1" and cell.reachable}
    assert {callee for callee, _ in reached} == {"edge", "control-plane", "internet", "aws:s3"}
    assert {port for callee, port in reached if callee in ("edge", "control-plane")} == {contract.ORIGIN_PORT, contract.XDS_PORT}
    refusals = cells["internet", "edge", contract.ORIGIN_PORT].verdicts[0].refusals
    assert refusals == ["no ingress rule of local-edge | local-envoy | local-machine from internet"]
    assert "no egress rule of local-outer-edge to postgres" in cells["us-east-1", "postgres", 5432].verdicts[0].refusals


def test_a_lost_route_over_the_peering_and_a_peering_that_is_gone_are_named(deployed: Deployments) -> None:
    stack = deployed("local")
    (ec2, _), *_ = stack.outer
    vpc = stack.read()
    outer, edge = (next(place for place in vpc.places if place.name == name) for name in ("us-east-1", "edge"))
    assert reach(vpc, outer, edge, contract.ORIGIN_PORT).reachable
    cut = replace(vpc, peerings={})
    table = cut.tables[outer.subnet or ""].name
    refusals = reach(cut, outer, edge, contract.ORIGIN_PORT).refusals
    assert refusals[0].startswith(f"no active peering of {table} to edge, only peering route to pcx-")
    assert refusals[1].startswith("no active peering of local-public to us-east-1")
    (route,) = [route for route in vpc.tables[outer.subnet or ""].routes if route.kind == "peering"]
    where = {"RouteTableId": vpc.tables[outer.subnet or ""].id, "DestinationCidrBlock": str(route.network)}
    mend = partial(ec2.create_route, VpcPeeringConnectionId=route.target)
    with hole(ec2.delete_route, mend, **where):
        refusals = reach(stack.read(), outer, edge, contract.ORIGIN_PORT).refusals
    assert refusals == [f"no active peering of {table} to edge, only internet route to {internet_of(vpc, outer.subnet or '')}"]


def internet_of(vpc: Vpc, subnet: str) -> str:
    """The internet gateway of a subnet's routes."""
    return next(route.target for route in vpc.tables[subnet].routes if route.kind == "internet")
