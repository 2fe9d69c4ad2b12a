"""The edge: machines in the public subnets, each of which takes an Elastic IP once its Envoy serves."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components.machine_group import LAUNCH_FIRST, MachineGroup, MachineGroupArgs
from components.machine_settings import MachineSettings
from components.tags import StackTags
from components.vpc import PublicZone
from model.contract import Role

SERVICE = "edge"
HTTPS = 443
"""The port that a URL need not name."""


@dataclass(frozen=True, kw_only=True)
class EdgeAddressesArgs:
    count: int
    """How many edges there are."""
    role: Role = Role.EDGE
    """Or that of outer edges."""
    service: str = SERVICE
    """Of outer edges their region."""
    tags: StackTags


class EdgeAddresses(pulumi.ComponentResource):
    """The Elastic IPs of the edges: apart from the machines, since the edge's certificate names them."""

    public_ips: list[Output[str]]
    """The addresses that clients use."""
    allocation_ids: list[Output[str]]
    """Ids by which a machine takes its address."""

    def __init__(self, name: str, args: EdgeAddressesArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:edge:EdgeAddresses", name, {}, opts)
        addresses = [
            aws.ec2.Eip(
                f"{name}-{number}",
                domain="vpc",
                tags=args.tags.of_machine(f"{name}-{number}", args.role, args.service),
                opts=ResourceOptions(parent=self),
            )
            for number in range(args.count)
        ]
        self.public_ips = [address.public_ip for address in addresses]
        self.allocation_ids = [address.allocation_id for address in addresses]
        self.register_outputs({"public_ips": self.public_ips, "allocation_ids": self.allocation_ids})

    def urls(self, port: int) -> list[Output[str]]:
        """Where clients reach these edges, which listen on `port`."""
        suffix = "" if port == HTTPS else f":{port}"
        return [Output.format("https://{0}{1}", address, suffix) for address in self.public_ips]


@dataclass(frozen=True, kw_only=True)
class EdgeArgs:
    zones: Sequence[PublicZone]
    role: Role = Role.EDGE
    """Or that of outer edges."""
    service: str = SERVICE
    """Of outer edges their region."""
    user_data: Sequence[Input[str]]
    """User data of each edge; each names the address that its machine takes."""
    settings: MachineSettings
    tags: StackTags


class Edge(pulumi.ComponentResource):
    """Edges over the zones in turn, each the only machine of its group.

    A terminated edge comes back, and a changed one's successor is launched first. No association is declared: the new
    machine's agent takes the address when its Envoy is ready, so clients never meet an edge that does not serve; the old
    one drains for as long as the `drain` hook holds it. Until then the new one has a public address of its own, by which
    it fetches images.
    """

    group_names: list[Output[str]]
    """Names of the Auto Scaling groups, in the order of the addresses."""

    def __init__(self, name: str, args: EdgeArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:edge:Edge", name, {}, opts)
        groups = [
            MachineGroup(
                f"{name}-{number}",
                MachineGroupArgs(
                    role=args.role,
                    service=args.service,
                    subnets=[args.zones[number % len(args.zones)].public.id],
                    fewest=1,
                    most=1,
                    refresh=LAUNCH_FIRST,
                    hooks=True,
                    user_data=user_data,
                    settings=args.settings,
                    tags=args.tags,
                    public=True,
                ),
                opts=ResourceOptions(parent=self),
            )
            for number, user_data in enumerate(args.user_data)
        ]
        self.group_names = [group.group_name for group in groups]
        self.register_outputs({"group_names": self.group_names})
