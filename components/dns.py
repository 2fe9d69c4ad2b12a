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
    region: str
    """The stack's own."""
    addresses: Sequence[Input[str]] = field(default_factory=tuple)
    """The edge's Elastic IPs."""
    outer: Mapping[str, Sequence[Input[str]]] = field(default_factory=dict)
    """Region of outer edges -> their Elastic IPs."""


class PublicDns(pulumi.ComponentResource):
    """A records of the edge in a public zone that exists already.

    Where there are outer edges, Route 53 answers with the addresses of the region that is nearest to the asker's resolver.
    """

    names: list[str]
    """The names that lead to the edge."""

    def __init__(self, name: str, args: PublicDnsArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:dns:PublicDns", name, {}, opts)
        for full_name in args.names:
            own = args.region if args.outer else None
            _record(f"{name}-{full_name}", args.zone_id, full_name, args.addresses, self, nearest_to=own)
            for region, addresses in args.outer.items():
                _record(f"{name}-{full_name}-{region}", args.zone_id, full_name, addresses, self, nearest_to=region)
        self.names = list(args.names)
        self.register_outputs({"names": self.names})


def _record(
    name: str,
    zone_id: Input[str],
    full_name: str,
    addresses: Sequence[Input[str]],
    parent: pulumi.Resource,
    *,
    nearest_to: str | None = None,
) -> None:
    """`nearest_to` makes it one of several records of its name, each of a region."""
    latency = [aws.route53.RecordLatencyRoutingPolicyArgs(region=nearest_to)] if nearest_to else None
    aws.route53.Record(
        name,
        zone_id=zone_id,
        name=full_name,
        type="A",
        ttl=TTL_SECONDS,
        records=list(addresses),
        set_identifier=nearest_to,
        latency_routing_policies=latency,
        # A name has either one record or one of each region, never both for a moment.
        opts=ResourceOptions(parent=parent, delete_before_replace=True),
    )
