"""The security groups of a VPC, made from the list of who may call whom."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components.firewall_rules import AWS, INTERNET, Rule
from components.tags import StackTags


@dataclass(frozen=True, kw_only=True)
class FirewallArgs:
    """The parties of a VPC and the rules between them (`firewall_rules` makes them from a mesh)."""

    vpc_id: Input[str]
    groups: list[str]
    """Parties that are security groups."""
    networks: Mapping[str, Sequence[IPv4Network]]
    """Parties that are ranges of addresses."""
    rules: list[Rule]
    aws_prefix_list: Input[str] | None = None
    """What `firewall_rules.AWS` stands for: the prefix list of the S3 gateway endpoint."""
    tags: StackTags


@dataclass(frozen=True, kw_only=True)
class _Peer:
    """One of the things that a rule's other party is: a group, a range or a prefix list; `suffix` tells its ranges apart by name."""

    group: Output[str] | None = None
    network: str | None = None
    prefix_list: Input[str] | None = None
    suffix: str = ""


class Firewall(pulumi.ComponentResource):
    """A security group per name and, per rule, one egress rule at the caller and one ingress rule at the callee.

    A party that is several ranges has a rule for each. Rules are resources of their own: two groups may call each
    other, and one arrow more touches no other.
    """

    group_ids: dict[str, Output[str]]
    """Ids of the security groups by name."""
    ready: list[pulumi.Resource]
    """The rules; a machine that boots before them could not reach AWS."""

    def __init__(self, name: str, args: FirewallArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:firewall:Firewall", name, {}, opts)
        self._name, self._args = name, args
        self._child = ResourceOptions(parent=self)
        self.group_ids = {group: self._group(group).id for group in args.groups}
        self.ready = [resource for rule in args.rules for resource in self._rule(rule)]
        self.register_outputs({"group_ids": self.group_ids})

    def ids_of(self, groups: list[str]) -> list[Output[str]]:
        """Ids of the groups, in the given order."""
        return [self.group_ids[group] for group in groups]

    def _group(self, group: str) -> aws.ec2.SecurityGroup:
        return aws.ec2.SecurityGroup(
            f"{self._name}-{group}",
            vpc_id=self._args.vpc_id,
            description=f"envoy-mesh {self._args.tags.stack}: {group}",
            tags=self._args.tags.of(group),
            opts=self._child,
        )

    def _rule(self, rule: Rule) -> list[pulumi.Resource]:
        made: list[pulumi.Resource] = []
        if rule.caller in self.group_ids:
            made += [self._egress(rule, self.group_ids[rule.caller], peer) for peer in self._peers(rule.callee)]
        if rule.callee in self.group_ids:
            made += [self._ingress(rule, self.group_ids[rule.callee], peer) for peer in self._peers(rule.caller)]
        return made

    def _peers(self, party: str) -> list[_Peer]:
        if party in self.group_ids:
            return [_Peer(group=self.group_ids[party])]
        if party == AWS:
            return [_Peer(prefix_list=self._args.aws_prefix_list)]
        suffixed = party != INTERNET
        return [
            _Peer(network=str(one), suffix=f"-{one.network_address}" if suffixed else "") for one in self._args.networks[party]
        ]

    def _egress(self, rule: Rule, group: Output[str], peer: _Peer) -> pulumi.Resource:
        return aws.vpc.SecurityGroupEgressRule(
            f"{self._name}-{rule.caller}-to-{rule.callee}-{rule.port}{peer.suffix}",
            security_group_id=group,
            ip_protocol="tcp",
            from_port=rule.port,
            to_port=rule.port,
            cidr_ipv4=peer.network,
            prefix_list_id=peer.prefix_list,
            referenced_security_group_id=peer.group,
            description=str(rule),
            tags=self._args.tags.of(f"{rule.caller}-to-{rule.callee}"),
            opts=self._child,
        )

    def _ingress(self, rule: Rule, group: Output[str], peer: _Peer) -> pulumi.Resource:
        return aws.vpc.SecurityGroupIngressRule(
            f"{self._name}-{rule.callee}-from-{rule.caller}-{rule.port}{peer.suffix}",
            security_group_id=group,
            ip_protocol="tcp",
            from_port=rule.port,
            to_port=rule.port,
            cidr_ipv4=peer.network,
            referenced_security_group_id=peer.group,
            description=str(rule),
            tags=self._args.tags.of(f"{rule.callee}-from-{rule.caller}"),
            opts=self._child,
        )
