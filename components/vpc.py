"""What every VPC of a mesh is made of, as children of the component that owns it."""

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TypeVar

import pulumi
import pulumi_aws as aws
from pulumi import Input, ResourceOptions

from components import network_acl
from components.tags import StackTags

ANYWHERE = "0.0.0.0/0"
Direction = TypeVar("Direction", aws.ec2.NetworkAclIngressArgs, aws.ec2.NetworkAclEgressArgs)


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The component whose VPC it is; its name is the beginning of all names."""

    component: pulumi.Resource
    name: str
    tags: StackTags

    @property
    def child(self) -> ResourceOptions:
        return ResourceOptions(parent=self.component)


@dataclass(frozen=True, kw_only=True)
class PublicZone:
    """What one availability zone has at least."""

    name: str
    public: aws.ec2.Subnet


def vpc(owner: Owner, cidr: IPv4Network) -> aws.ec2.Vpc:
    """The VPC itself."""
    return aws.ec2.Vpc(
        f"{owner.name}-vpc",
        cidr_block=str(cidr),
        enable_dns_support=True,
        enable_dns_hostnames=True,
        tags=owner.tags.of(owner.name),
        opts=owner.child,
    )


def internet_gateway(owner: Owner, vpc_id: Input[str]) -> aws.ec2.InternetGateway:
    """The way in and out of public subnets."""
    return aws.ec2.InternetGateway(f"{owner.name}-internet", vpc_id=vpc_id, tags=owner.tags.of(owner.name), opts=owner.child)


def route_table(owner: Owner, vpc_id: Input[str], what: str) -> aws.ec2.RouteTable:
    """An empty route table."""
    return aws.ec2.RouteTable(f"{owner.name}-{what}", vpc_id=vpc_id, tags=owner.tags.of(what), opts=owner.child)


def internet_route(
    owner: Owner, what: str, table: Input[str], *, gateway_id: Input[str] | None = None, nat_gateway_id: Input[str] | None = None
) -> aws.ec2.Route:
    """A table's default route."""
    return aws.ec2.Route(
        f"{owner.name}-{what}-internet",
        route_table_id=table,
        destination_cidr_block=ANYWHERE,
        gateway_id=gateway_id,
        nat_gateway_id=nat_gateway_id,
        opts=owner.child,
    )


def subnet(
    owner: Owner, vpc_id: Input[str], *, kind: str, zone: str, cidr: IPv4Network, routes: Input[str]
) -> tuple[aws.ec2.Subnet, aws.ec2.RouteTableAssociation]:
    """A subnet, and what ties it to its route table."""
    name = f"{owner.name}-{kind}-{zone}"
    made = aws.ec2.Subnet(
        name,
        vpc_id=vpc_id,
        cidr_block=str(cidr),
        availability_zone=zone,
        map_public_ip_on_launch=False,
        tags=owner.tags.of(f"{kind}-{zone}"),
        opts=owner.child,
    )
    return made, aws.ec2.RouteTableAssociation(name, subnet_id=made.id, route_table_id=routes, opts=owner.child)


def acl(
    owner: Owner, vpc_id: Input[str], kind: str, entries: list[network_acl.AclEntry], members: list[aws.ec2.Subnet]
) -> aws.ec2.NetworkAcl:
    """A network ACL of `entries` around some subnets."""
    return aws.ec2.NetworkAcl(
        f"{owner.name}-{kind}",
        vpc_id=vpc_id,
        subnet_ids=[member.id for member in members],
        ingress=[_allowance(aws.ec2.NetworkAclIngressArgs, entry) for entry in entries if not entry.egress],
        egress=[_allowance(aws.ec2.NetworkAclEgressArgs, entry) for entry in entries if entry.egress],
        tags=owner.tags.of(kind),
        opts=owner.child,
    )


def _allowance(direction: type[Direction], entry: network_acl.AclEntry) -> Direction:
    return direction(
        rule_no=entry.number,
        action="allow",
        protocol=entry.protocol,
        cidr_block=str(entry.peer),
        from_port=entry.ports[0],
        to_port=entry.ports[1],
    )
