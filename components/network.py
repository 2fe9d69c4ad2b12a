"""The VPC of a mesh: subnets over the zones, their ways in and out, and the logs of what passed."""

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Literal

import pulumi
import pulumi_aws as aws
from pulumi import Output, ResourceOptions

from components import network_acl, subnets, vpc
from components.flow_logs import FlowLogs, FlowLogsArgs
from components.tags import StackTags


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """What decides the network's shape."""

    cidr: IPv4Network
    """Range of the VPC."""
    zones: list[str]
    """Names of the availability zones; appending one moves nothing that exists."""
    nat: Literal["none", "single", "per-zone"]
    """NAT gateways for the private subnets; `none` leaves them without a way to the internet."""
    public_ports: tuple[int, ...]
    """Ports below 1024 and above that the internet may reach in the public subnets."""
    tags: StackTags


@dataclass(frozen=True, kw_only=True)
class Zone(vpc.PublicZone):
    """What one availability zone has."""

    private: aws.ec2.Subnet
    fixed: aws.ec2.Subnet
    ranges: subnets.ZoneSubnets
    route_table: aws.ec2.RouteTable
    """Of the zone's private and fixed subnets."""


class Network(pulumi.ComponentResource):
    """A VPC with, per zone, a public, a private and a fixed-address subnet.

    Makes the VPC, the internet gateway, NAT gateways as asked, one route table
    for the public subnets and one per zone for the others, the S3 gateway endpoint, two network ACLs, flow logs. The
    head of each fixed subnet is reserved for machines that claim an address of it.
    """

    vpc_id: Output[str]
    """Id of the VPC."""
    zones: list[Zone]
    """The zones in the order of `NetworkArgs.zones`."""
    public_routes: aws.ec2.RouteTable
    """Route table of the public subnets."""
    s3_prefix_list: Output[str]
    """S3's addresses as seen through the gateway endpoint, for security group rules."""
    ready: list[pulumi.Resource]
    """Routes and gateways without which a machine that boots reaches nothing; machines depend on them."""

    def __init__(self, name: str, args: NetworkArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:network:Network", name, {}, opts)
        self._args = args
        self._owner = owner = vpc.Owner(component=self, name=name, tags=args.tags)
        self.vpc_id = vpc.vpc(owner, args.cidr).id
        gateway = vpc.internet_gateway(owner, self.vpc_id)
        self.public_routes = vpc.route_table(owner, self.vpc_id, "public")
        way_out = vpc.internet_route(owner, "public", self.public_routes.id, gateway_id=gateway.id)
        self.ready = [way_out]
        self.zones = [self._zone(zone, ranges) for zone, ranges in zip(args.zones, subnets.plan(args.cidr, len(args.zones)), strict=True)]
        self._nat(way_out)
        endpoint = self._s3_endpoint()
        self.s3_prefix_list = endpoint.prefix_list_id
        self.ready.append(endpoint)
        public = [zone.public for zone in self.zones]
        inner = [subnet for zone in self.zones for subnet in (zone.private, zone.fixed)]
        vpc.acl(owner, self.vpc_id, "public", network_acl.public_entries(args.cidr, ports=args.public_ports), public)
        vpc.acl(owner, self.vpc_id, "private", network_acl.private_entries(args.cidr), inner)
        FlowLogs(f"{name}-flow", FlowLogsArgs(vpc_id=self.vpc_id, tags=args.tags), opts=owner.child)
        self.register_outputs({"vpc_id": self.vpc_id, "s3_prefix_list": self.s3_prefix_list})

    def _zone(self, zone: str, ranges: subnets.ZoneSubnets) -> Zone:
        inner_routes = vpc.route_table(self._owner, self.vpc_id, f"private-{zone}")
        public = self._subnet("public", zone, ranges.public, self.public_routes)
        private = self._subnet("private", zone, ranges.private, inner_routes)
        fixed = self._subnet("fixed", zone, ranges.fixed, inner_routes)
        self._keep_head(zone, ranges, fixed)
        return Zone(name=zone, public=public, private=private, fixed=fixed, ranges=ranges, route_table=inner_routes)

    def _subnet(self, kind: str, zone: str, cidr: IPv4Network, routes: aws.ec2.RouteTable) -> aws.ec2.Subnet:
        made, association = vpc.subnet(self._owner, self.vpc_id, kind=kind, zone=zone, cidr=cidr, routes=routes.id)
        self.ready.append(association)
        return made

    def _keep_head(self, zone: str, ranges: subnets.ZoneSubnets, fixed: aws.ec2.Subnet) -> None:
        """EC2 gives machines their primary address from the rest of the fixed subnet; those that they claim stay free."""
        reservation = aws.ec2.SubnetCidrReservation(
            f"{self._owner.name}-fixed-{zone}-head",
            subnet_id=fixed.id,
            cidr_block=str(ranges.head),
            reservation_type="explicit",
            description="claimed by machines at fixed addresses",
            opts=self._owner.child,
        )
        self.ready.append(reservation)

    def _nat(self, way_out: aws.ec2.Route) -> None:
        """Gateways in the public subnets of all zones or of the first; a gateway needs its own way out first."""
        homes = {"none": [], "single": self.zones[:1], "per-zone": self.zones}[self._args.nat]
        gateways = [self._nat_gateway(zone, way_out) for zone in homes]
        for index, zone in enumerate(self.zones):
            if gateways:
                gateway = gateways[index] if self._args.nat == "per-zone" else gateways[0]
                route = vpc.internet_route(self._owner, f"private-{zone.name}", zone.route_table.id, nat_gateway_id=gateway.id)
                self.ready.append(route)

    def _nat_gateway(self, zone: Zone, way_out: aws.ec2.Route) -> aws.ec2.NatGateway:
        name = f"{self._owner.name}-nat-{zone.name}"
        tags = self._args.tags.of(f"nat-{zone.name}")
        address = aws.ec2.Eip(name, domain="vpc", tags=tags, opts=self._owner.child)
        opts = ResourceOptions(parent=self, depends_on=[way_out])
        return aws.ec2.NatGateway(name, subnet_id=zone.public.id, allocation_id=address.allocation_id, tags=tags, opts=opts)

    def _s3_endpoint(self) -> aws.ec2.VpcEndpoint:
        """Free, and keeps image layers and the mesh document off the NAT gateway."""
        return aws.ec2.VpcEndpoint(
            f"{self._owner.name}-s3",
            vpc_id=self.vpc_id,
            vpc_endpoint_type="Gateway",
            service_name=f"com.amazonaws.{self._args.zones[0][:-1]}.s3",
            route_table_ids=[zone.route_table.id for zone in self.zones],
            tags=self._args.tags.of("s3"),
            opts=self._owner.child,
        )
