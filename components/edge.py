"""The edge: machines in the public subnets, each of which takes an Elastic IP once its Envoy serves."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components.machine_settings import MachineSettings, auto_recovery, metadata_options, root_disk
from components.network import Zone
from components.tags import StackTags
from model.contract import Role

SERVICE = "edge"


@dataclass(frozen=True, kw_only=True)
class EdgeAddressesArgs:
    count: int
    """How many edges there are."""
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
                tags=args.tags.of_machine(f"{name}-{number}", Role.EDGE, SERVICE),
                opts=ResourceOptions(parent=self),
            )
            for number in range(args.count)
        ]
        self.public_ips = [address.public_ip for address in addresses]
        self.allocation_ids = [address.allocation_id for address in addresses]
        self.register_outputs({"public_ips": self.public_ips, "allocation_ids": self.allocation_ids})


@dataclass(frozen=True, kw_only=True)
class EdgeArgs:
    zones: list[Zone]
    user_data: Sequence[Input[str]]
    """User data of each edge; each names the address that its machine takes."""
    settings: MachineSettings
    tags: StackTags


class Edge(pulumi.ComponentResource):
    """Edge instances over the zones in turn.

    Replacements are made one after the other, all of them before the first old instance goes (docs/adr/0007). No
    association is declared: the new machine's agent takes the address when its Envoy is ready, so clients never meet an
    edge that does not serve. Until then the machine has a public address of its own, by which it fetches images.
    """

    instance_ids: list[Output[str]]
    """Ids of the instances, in the order of the addresses."""

    def __init__(self, name: str, args: EdgeArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:edge:Edge", name, {}, opts)
        self._name, self._args = name, args
        machines: list[aws.ec2.Instance] = []
        for number, user_data in enumerate(args.user_data):
            machines.append(self._machine(number, user_data, after=machines[-1:]))
        self.instance_ids = [machine.id for machine in machines]
        self.register_outputs({"instance_ids": self.instance_ids})

    def _machine(self, number: int, user_data: Input[str], *, after: Sequence[pulumi.Resource]) -> aws.ec2.Instance:
        settings, name = self._args.settings, f"{self._name}-{number}"
        tags = self._args.tags.of_machine(name, Role.EDGE, SERVICE)
        return aws.ec2.Instance(
            f"{name}-instance",
            ami=settings.ami,
            instance_type=settings.instance_type,
            iam_instance_profile=settings.profile_name,
            subnet_id=self._args.zones[number % len(self._args.zones)].public.id,
            vpc_security_group_ids=list(settings.security_groups),
            associate_public_ip_address=True,
            user_data=user_data,
            user_data_replace_on_change=True,
            metadata_options=metadata_options(),
            root_block_device=root_disk(tags),
            maintenance_options=auto_recovery(),
            # No group would make it again: EC2 refuses to terminate it for anybody but Pulumi.
            disable_api_termination=True,
            force_destroy=True,
            tags=tags,
            opts=ResourceOptions(parent=self, depends_on=[*settings.ready, *after]),
        )
