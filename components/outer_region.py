"""What a region of outer edges has before its machines: network, peering, firewall, addresses."""

from dataclasses import dataclass

import pulumi
from pulumi import Output, ResourceOptions

from components import firewall_rules, subnets
from components.edge import EdgeAddresses, EdgeAddressesArgs
from components.firewall import Firewall, FirewallArgs
from components.network import Network
from components.outer_network import OuterNetwork, OuterNetworkArgs
from components.peering import Peering, PeeringArgs
from components.region import in_region
from components.tags import StackTags
from model.contract import Role
from model.edge import OuterSpec
from model.spec import MeshSpec


@dataclass(frozen=True, kw_only=True)
class OuterRegionArgs:
    spec: OuterSpec
    mesh: MeshSpec
    origin: Network
    """The stack's own network."""
    origin_region: str
    tags: StackTags


class OuterRegion(pulumi.ComponentResource):
    """A VPC in the region, its security group, its edges' Elastic IPs, and the peering with the stack's own VPC."""

    network: OuterNetwork
    """The VPC."""
    firewall: Firewall
    """Its security groups."""
    addresses: EdgeAddresses
    """The Elastic IPs of its edges."""
    vpc_id: Output[str]
    """Id of the VPC."""
    ready: list[pulumi.Resource]
    """What a machine that boots there needs to reach AWS and the control planes."""

    def __init__(self, name: str, args: OuterRegionArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:outer_region:OuterRegion", name, {}, opts)
        spec, mesh, tags = args.spec, args.mesh, args.tags
        there = ResourceOptions.merge(ResourceOptions(parent=self), in_region(spec.region))
        self.network = OuterNetwork(
            f"{name}-network",
            OuterNetworkArgs(
                cidr=spec.cidr,
                zones=subnets.zone_names(spec.region, spec.zones),
                public_ports=(mesh.edge.https, mesh.edge.http),
                tags=tags,
            ),
            opts=there,
        )
        peering = Peering(
            f"{name}-peering",
            PeeringArgs(
                outer=self.network,
                outer_region=spec.region,
                outer_cidr=spec.cidr,
                origin=args.origin,
                origin_region=args.origin_region,
                origin_cidr=mesh.network.cidr,
                tags=tags,
            ),
            opts=ResourceOptions(parent=self),
        )
        self.firewall = Firewall(
            f"{name}-firewall",
            FirewallArgs(
                vpc_id=self.network.vpc_id,
                groups=firewall_rules.outer_groups(),
                networks=firewall_rules.outer_networks(mesh, len(args.origin.zones)),
                rules=firewall_rules.outer_rules(mesh),
                tags=tags,
            ),
            opts=there,
        )
        self.addresses = EdgeAddresses(
            f"{name}-address",
            EdgeAddressesArgs(role=Role.OUTER_EDGE, service=spec.region, count=spec.instances, tags=tags),
            opts=there,
        )
        self.vpc_id = self.network.vpc_id
        self.ready = [*self.network.ready, *peering.ready]
        self.register_outputs({"vpc_id": self.vpc_id})
