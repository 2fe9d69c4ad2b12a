"""Names: a private zone for the mesh's fixed machines and, where asked for, a public one for the edge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components.tags import StackTags

TTL_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class PrivateDnsArgs:
    domain: str
    """The zone's name."""
    vpc_id: Input[str]
    """The VPC in which the names are known."""
    records: Mapping[str, Sequence[Input[str]]]
    """Name within the domain -> its IPv4 addresses. Services have no record: sidecars find them by name."""
    tags: StackTags


class PrivateDns(pulumi.ComponentResource):
    """A private hosted zone and an A record per fixed machine: for people and tools, as Envoys need no DNS."""

    zone_id: Output[str]
    """Id of the hosted zone."""

    def __init__(self, name: str, args: PrivateDnsArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:dns:PrivateDns", name, {}, opts)
        zone = aws.route53.Zone(
            f"{name}-zone",
            name=args.domain,
            vpcs=[aws.route53.ZoneVpcArgs(vpc_id=args.vpc_id)],
            tags=args.tags.of(name),
            opts=ResourceOptions(parent=self),
        )
        for label, addresses in args.records.items():
            _record(f"{name}-{label}", zone.zone_id, f"{label}.{args.domain}", addresses, self)
        self.zone_id = zone.zone_id
        self.register_outputs({"zone_id": self.zone_id})


@dataclass(frozen=True, kw_only=True)
class PublicDnsArgs:
    zone_id: Input[str]
    """An existing public hosted zone: a registrar points at it, so no stack may own it."""
    names: Sequence[str]
    """Full names that lead to the edge."""
    addresses: Sequence[Input[str]] = field(default_factory=tuple)
    """The edge's Elastic IPs."""


class PublicDns(pulumi.ComponentResource):
    """A records of the edge in a public zone that exists already."""

    names: list[str]
    """The names that lead to the edge."""

    def __init__(self, name: str, args: PublicDnsArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:dns:PublicDns", name, {}, opts)
        for full_name in args.names:
            _record(f"{name}-{full_name}", args.zone_id, full_name, args.addresses, self)
        self.names = list(args.names)
        self.register_outputs({"names": self.names})


def _record(name: str, zone_id: Input[str], full_name: str, addresses: Sequence[Input[str]], parent: pulumi.Resource) -> None:
    aws.route53.Record(
        name,
        zone_id=zone_id,
        name=full_name,
        type="A",
        ttl=TTL_SECONDS,
        records=list(addresses),
        opts=ResourceOptions(parent=parent),
    )
