"""The network of the outer edges of one region: a VPC that has public subnets only."""

from dataclasses import dataclass
from ipaddress import IPv4Network

import pulumi
import pulumi_aws as aws
from pulumi import Output, ResourceOptions

from components import network_acl, subnets, vpc
from components.flow_logs import FlowLogs, FlowLogsArgs
from components.tags import StackTags


@dataclass(frozen=True, kw_only=True)
class OuterNetworkArgs:
    cidr: IPv4Network
    """Range of the VPC; overlaps with no other of the stack."""
    zones: list[str]
    """Names of the region's availability zones that edges stand in."""
    public_ports: tuple[int, ...]
    """Ports that the internet may reach."""
    tags: StackTags


class OuterNetwork(pulumi.ComponentResource):
    """A VPC with a public subnet per zone, its internet gateway, one route table, one network ACL, flow logs.

    `components.region.in_region` says in which region it lies.
    """

    vpc_id: Output[str]
    """Id of the VPC."""
    zones: list[vpc.PublicZone]
    """The zones in the order of `OuterNetworkArgs.zones`."""
    routes: aws.ec2.RouteTable
    """Route table of all subnets."""
    ready: list[pulumi.Resource]
    """Routes without which a machine that boots reaches nothing; machines depend on them."""

    def __init__(self, name: str, args: OuterNetworkArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:outer_network:OuterNetwork", name, {}, opts)
        owner = vpc.Owner(component=self, name=name, tags=args.tags)
        self.vpc_id = vpc.vpc(owner, args.cidr).id
        gateway = vpc.internet_gateway(owner, self.vpc_id)
        self.routes = vpc.route_table(owner, self.vpc_id, "public")
        self.ready = [vpc.internet_route(owner, "public", self.routes.id, gateway_id=gateway.id)]
        self.zones = []
        for zone, ranges in zip(args.zones, subnets.plan(args.cidr, len(args.zones)), strict=True):
            public, association = vpc.subnet(
                owner, self.vpc_id, kind="public", zone=zone, cidr=ranges.public, routes=self.routes.id
            )
            self.zones.append(vpc.PublicZone(name=zone, public=public))
            self.ready.append(association)
        entries = network_acl.public_entries(args.cidr, ports=args.public_ports)
        vpc.acl(owner, self.vpc_id, "public", entries, [zone.public for zone in self.zones])
        FlowLogs(f"{name}-flow", FlowLogsArgs(vpc_id=self.vpc_id, tags=args.tags), opts=owner.child)
        self.register_outputs({"vpc_id": self.vpc_id})
