"""The security groups of a mesh, made from the list of who may call whom."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components.firewall_rules import AWS, INTERNET, Rule
from components.tags import StackTags

ANYWHERE = "0.0.0.0/0"


@dataclass(frozen=True, kw_only=True)
class FirewallArgs:
    """Names of the groups and the rules between them (`firewall_rules` makes both from a mesh)."""

    vpc_id: Input[str]
    groups: list[str]
    rules: list[Rule]
    aws_prefix_list: Input[str]
    """What `firewall_rules.AWS` stands for: the prefix list of the S3 gateway endpoint."""
    tags: StackTags


class Firewall(pulumi.ComponentResource):
    """A security group per name and, per rule, one egress rule at the caller and one ingress rule at the callee.

    Rules are resources of their own: two groups may call each other, and one arrow more touches no other.
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
            made.append(self._egress(rule, self.group_ids[rule.caller]))
        if rule.callee in self.group_ids:
            made.append(self._ingress(rule, self.group_ids[rule.callee]))
        return made

    def _egress(self, rule: Rule, group: Output[str]) -> pulumi.Resource:
        return aws.vpc.SecurityGroupEgressRule(
            f"{self._name}-{rule.caller}-to-{rule.callee}-{rule.port}",
            security_group_id=group,
            ip_protocol="tcp",
            from_port=rule.port,
            to_port=rule.port,
            cidr_ipv4=ANYWHERE if rule.callee == INTERNET else None,
            prefix_list_id=self._args.aws_prefix_list if rule.callee == AWS else None,
            referenced_security_group_id=self.group_ids.get(rule.callee),
            description=str(rule),
            tags=self._args.tags.of(f"{rule.caller}-to-{rule.callee}"),
            opts=self._child,
        )

    def _ingress(self, rule: Rule, group: Output[str]) -> pulumi.Resource:
        return aws.vpc.SecurityGroupIngressRule(
            f"{self._name}-{rule.callee}-from-{rule.caller}-{rule.port}",
            security_group_id=group,
            ip_protocol="tcp",
            from_port=rule.port,
            to_port=rule.port,
            cidr_ipv4=ANYWHERE if rule.caller == INTERNET else None,
            referenced_security_group_id=self.group_ids.get(rule.caller),
            description=str(rule),
            tags=self._args.tags.of(f"{rule.callee}-from-{rule.caller}"),
            opts=self._child,
        )
