"""The VPC of a mesh: subnets over the zones, their ways in and out, and the logs of what passed."""

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Literal

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components import network_acl, subnets
from components.flow_logs import FlowLogs, FlowLogsArgs
from components.tags import StackTags

ANYWHERE = "0.0.0.0/0"


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
class Zone:
    """What one availability zone has."""

    name: str
    public: aws.ec2.Subnet
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
    s3_prefix_list: Output[str]
    """S3's addresses as seen through the gateway endpoint, for security group rules."""
    ready: list[pulumi.Resource]
    """Routes and gateways without which a machine that boots reaches nothing; machines depend on them."""

    def __init__(self, name: str, args: NetworkArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:network:Network", name, {}, opts)
        self._name, self._args = name, args
        self._child = ResourceOptions(parent=self)
        vpc = aws.ec2.Vpc(
            f"{name}-vpc",
            cidr_block=str(args.cidr),
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=args.tags.of(name),
            opts=self._child,
        )
        self.vpc_id = vpc.id
        gateway = aws.ec2.InternetGateway(f"{name}-internet", vpc_id=vpc.id, tags=args.tags.of(name), opts=self._child)
        public_routes = self._route_table("public")
        internet_route = self._route("public", public_routes.id, gateway_id=gateway.id)
        self.ready = [internet_route]
        self.zones = [
            self._zone(zone, ranges, public_routes)
            for zone, ranges in zip(args.zones, subnets.plan(args.cidr, len(args.zones)), strict=True)
        ]
        self._nat(internet_route)
        endpoint = self._s3_endpoint()
        self.s3_prefix_list = endpoint.prefix_list_id
        self.ready.append(endpoint)
        self._acl("public", network_acl.public_entries(args.cidr, ports=args.public_ports), [zone.public for zone in self.zones])
        inner = [subnet for zone in self.zones for subnet in (zone.private, zone.fixed)]
        self._acl("private", network_acl.private_entries(args.cidr), inner)
        FlowLogs(f"{name}-flow", FlowLogsArgs(vpc_id=vpc.id, tags=args.tags), opts=self._child)
        self.register_outputs({"vpc_id": self.vpc_id, "s3_prefix_list": self.s3_prefix_list})

    def _zone(self, zone: str, ranges: subnets.ZoneSubnets, public_routes: aws.ec2.RouteTable) -> Zone:
        inner_routes = self._route_table(f"private-{zone}")
        public = self._subnet("public", zone, ranges.public, public_routes)
        private = self._subnet("private", zone, ranges.private, inner_routes)
        fixed = self._subnet("fixed", zone, ranges.fixed, inner_routes)
        self._keep_head(zone, ranges, fixed)
        return Zone(name=zone, public=public, private=private, fixed=fixed, ranges=ranges, route_table=inner_routes)

    def _subnet(self, kind: str, zone: str, cidr: IPv4Network, routes: aws.ec2.RouteTable) -> aws.ec2.Subnet:
        name = f"{self._name}-{kind}-{zone}"
        subnet = aws.ec2.Subnet(
            name,
            vpc_id=self.vpc_id,
            cidr_block=str(cidr),
            availability_zone=zone,
            map_public_ip_on_launch=False,
            tags=self._args.tags.of(f"{kind}-{zone}"),
            opts=self._child,
        )
        association = aws.ec2.RouteTableAssociation(name, subnet_id=subnet.id, route_table_id=routes.id, opts=self._child)
        self.ready.append(association)
        return subnet

    def _keep_head(self, zone: str, ranges: subnets.ZoneSubnets, fixed: aws.ec2.Subnet) -> None:
        """EC2 gives machines their primary address from the rest of the fixed subnet; those that they claim stay free."""
        reservation = aws.ec2.SubnetCidrReservation(
            f"{self._name}-fixed-{zone}-head",
            subnet_id=fixed.id,
            cidr_block=str(ranges.head),
            reservation_type="explicit",
            description="claimed by machines at fixed addresses",
            opts=self._child,
        )
        self.ready.append(reservation)

    def _route_table(self, what: str) -> aws.ec2.RouteTable:
        return aws.ec2.RouteTable(f"{self._name}-{what}", vpc_id=self.vpc_id, tags=self._args.tags.of(what), opts=self._child)

    def _route(
        self, what: str, table: Input[str], *, gateway_id: Input[str] | None = None, nat_gateway_id: Input[str] | None = None
    ) -> aws.ec2.Route:
        return aws.ec2.Route(
            f"{self._name}-{what}-internet",
            route_table_id=table,
            destination_cidr_block=ANYWHERE,
            gateway_id=gateway_id,
            nat_gateway_id=nat_gateway_id,
            opts=self._child,
        )

    def _nat(self, internet_route: aws.ec2.Route) -> None:
        """Gateways in the public subnets of all zones or of the first; a gateway needs its own way out first."""
        homes = {"none": [], "single": self.zones[:1], "per-zone": self.zones}[self._args.nat]
        gateways = [self._nat_gateway(zone, internet_route) for zone in homes]
        for index, zone in enumerate(self.zones):
            if gateways:
                gateway = gateways[index] if self._args.nat == "per-zone" else gateways[0]
                self.ready.append(self._route(f"private-{zone.name}", zone.route_table.id, nat_gateway_id=gateway.id))

    def _nat_gateway(self, zone: Zone, internet_route: aws.ec2.Route) -> aws.ec2.NatGateway:
        name = f"{self._name}-nat-{zone.name}"
        tags = self._args.tags.of(f"nat-{zone.name}")
        address = aws.ec2.Eip(name, domain="vpc", tags=tags, opts=self._child)
        opts = ResourceOptions(parent=self, depends_on=[internet_route])
        return aws.ec2.NatGateway(name, subnet_id=zone.public.id, allocation_id=address.allocation_id, tags=tags, opts=opts)

    def _s3_endpoint(self) -> aws.ec2.VpcEndpoint:
        """Free, and keeps image layers and the mesh document off the NAT gateway."""
        return aws.ec2.VpcEndpoint(
            f"{self._name}-s3",
            vpc_id=self.vpc_id,
            vpc_endpoint_type="Gateway",
            service_name=f"com.amazonaws.{self._args.zones[0][:-1]}.s3",
            route_table_ids=[zone.route_table.id for zone in self.zones],
            tags=self._args.tags.of("s3"),
            opts=self._child,
        )

    def _acl(self, kind: str, entries: list[network_acl.AclEntry], members: list[aws.ec2.Subnet]) -> None:
        aws.ec2.NetworkAcl(
            f"{self._name}-{kind}",
            vpc_id=self.vpc_id,
            subnet_ids=[subnet.id for subnet in members],
            ingress=[
                aws.ec2.NetworkAclIngressArgs(
                    rule_no=entry.number,
                    action="allow",
                    protocol=entry.protocol,
                    cidr_block=str(entry.peer),
                    from_port=entry.ports[0],
                    to_port=entry.ports[1],
                )
                for entry in entries
                if not entry.egress
            ],
            egress=[
                aws.ec2.NetworkAclEgressArgs(
                    rule_no=entry.number,
                    action="allow",
                    protocol=entry.protocol,
                    cidr_block=str(entry.peer),
                    from_port=entry.ports[0],
                    to_port=entry.ports[1],
                )
                for entry in entries
                if entry.egress
            ],
            tags=self._args.tags.of(kind),
            opts=self._child,
        )
