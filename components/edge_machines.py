"""What edges boot from and may do: the stack's own, and outer ones in their regions."""

from dataclasses import replace
from functools import partial

from pulumi import Output

from components import machine_files, policies
from components.certificates import Holder
from components.edge import SERVICE, Edge, EdgeAddresses, EdgeArgs
from components.foundation import Foundation, Ground, Make
from components.machine_files import StackFacts
from components.outer_region import OuterRegion
from components.region import in_region
from model.contract import Role
from model.edge import OuterSpec


def edges(foundation: Foundation, facts: StackFacts, addresses: EdgeAddresses) -> Edge:
    """The machines that clients reach."""
    make = partial(machine_files.edge, facts)
    settings = foundation.settings(
        Role.EDGE,
        SERVICE,
        make,
        instance_type=facts.mesh.edge.instance_type,
        statements=policies.take_address(facts.region, facts.stack),
    )
    data = _user_data(foundation, make, Holder(Role.EDGE, SERVICE), addresses)
    return Edge("edge", EdgeArgs(zones=foundation.network.zones, user_data=data, settings=settings, tags=foundation.tags))


def outer_edges(foundation: Foundation, facts: StackFacts, spec: OuterSpec, region: OuterRegion, *, ami: str) -> Edge:
    """The machines that clients near another region reach; all that they read is there, but for the images."""
    ground = Ground(
        region=spec.region,
        ami=ami,
        tags=foundation.tags,
        firewall=region.firewall,
        certificates=foundation.certificates,
        registry=foundation.registry,
        ways_out=region.ready,
        placed=in_region(spec.region),
    )
    make = partial(machine_files.edge, replace(facts, region=spec.region), role=Role.OUTER_EDGE, service=spec.region)
    settings = ground.settings(
        Role.OUTER_EDGE,
        spec.region,
        make,
        instance_type=facts.mesh.edge.instance_type,
        statements=policies.take_address(spec.region, facts.stack),
    )
    args = EdgeArgs(
        zones=region.network.zones,
        role=Role.OUTER_EDGE,
        service=spec.region,
        user_data=_user_data(ground, make, Holder(Role.OUTER_EDGE, spec.region), region.addresses),
        settings=settings,
        tags=foundation.tags,
    )
    return Edge(f"outer-edge-{spec.region}", args, opts=in_region(spec.region))


def _user_data(ground: Ground, make: Make, holder: Holder, addresses: EdgeAddresses) -> list[Output[str]]:
    """Of each edge, with the Elastic IP that it takes."""
    return [
        ground.user_data(make, holder=holder, allocation=allocation, public_ip=public_ip)
        for allocation, public_ip in zip(addresses.allocation_ids, addresses.public_ips, strict=True)
    ]
