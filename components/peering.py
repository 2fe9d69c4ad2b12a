"""What joins the VPC of outer edges to the stack's own: a peering between two regions, with routes both ways."""

from dataclasses import dataclass
from ipaddress import IPv4Network

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components.network import Network
from components.outer_network import OuterNetwork
from components.tags import StackTags


@dataclass(frozen=True, kw_only=True)
class PeeringArgs:
    """Two networks and where they are."""

    outer: OuterNetwork
    outer_region: str
    outer_cidr: IPv4Network
    origin: Network
    origin_region: str
    origin_cidr: IPv4Network
    tags: StackTags


class Peering(pulumi.ComponentResource):
    """A peering connection, asked for in the outer region and accepted in the origin's, and a route in every table of both VPCs.

    Outer edges reach origin edges and control planes by it, control planes and monitoring reach outer edges; what
    passes is the security groups' to say.
    """

    connection_id: Output[str]
    """Id of the peering connection."""
    ready: list[pulumi.Resource]
    """The routes; a machine that boots before them meets no control plane."""

    def __init__(self, name: str, args: PeeringArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:peering:Peering", name, {}, opts)
        tags = args.tags.of(name)
        asked = aws.ec2.VpcPeeringConnection(
            f"{name}-connection",
            vpc_id=args.outer.vpc_id,
            peer_vpc_id=args.origin.vpc_id,
            peer_region=args.origin_region,
            region=args.outer_region,
            tags=tags,
            opts=ResourceOptions(parent=self),
        )
        accepted = aws.ec2.VpcPeeringConnectionAccepter(
            f"{name}-accepter",
            vpc_peering_connection_id=asked.id,
            auto_accept=True,
            tags=tags,
            opts=ResourceOptions(parent=self),
        )
        # EC2 takes no route to a connection that is not accepted.
        after = ResourceOptions(parent=self, depends_on=[accepted])
        self.ready = [_route(f"{name}-to-origin", args.outer.routes.id, args.origin_cidr, asked.id, args.outer_region, after)]
        tables = {"public": args.origin.public_routes, **{f"private-{zone.name}": zone.route_table for zone in args.origin.zones}}
        self.ready += [
            _route(f"{name}-from-{what}", table.id, args.outer_cidr, asked.id, None, after) for what, table in tables.items()
        ]
        self.connection_id = asked.id
        self.register_outputs({"connection_id": self.connection_id})


def _route(
    name: str, table: Input[str], destination: IPv4Network, connection: Input[str], region: str | None, opts: ResourceOptions
) -> aws.ec2.Route:
    return aws.ec2.Route(
        name,
        route_table_id=table,
        destination_cidr_block=str(destination),
        vpc_peering_connection_id=connection,
        region=region,
        opts=opts,
    )
