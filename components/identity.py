"""What a machine is to AWS: its role, its instance profile and the log group of its containers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components import policies
from components.log_groups import log_group_name
from components.tags import StackTags
from model.contract import Role

RETENTION_DAYS = 30


@dataclass(frozen=True, kw_only=True)
class IdentityArgs:
    """A machine's duties, as far as IAM sees them."""

    role: Role
    service: str
    """Second part of the node id: the service's name, `edge`, `postgres`, …"""
    region: str
    parameters: Sequence[str] = ()
    """Names of the SSM parameters that it reads."""
    secrets: Sequence[str] = ()
    """Names of the Secrets Manager secrets that it reads."""
    repositories: Sequence[Input[str]] = ()
    """ARNs of the ECR repositories that it pulls from."""
    statements: Input[Sequence[policies.Statement]] = ()
    """What its role may do beside that (see `policies`)."""
    tags: StackTags


class Identity(pulumi.ComponentResource):
    """An IAM role that EC2 takes, its one inline policy, its instance profile, and a log group."""

    role_name: Output[str]
    """Name of the IAM role."""
    profile_arn: Output[str]
    """ARN of the instance profile, for launch templates."""
    log_group: str
    """Name of the CloudWatch log group."""
    ready: list[pulumi.Resource]
    """What a machine needs in place when it boots: its permissions and its log group."""

    def __init__(self, name: str, args: IdentityArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:identity:Identity", name, {}, opts)
        child = ResourceOptions(parent=self)
        tags = args.tags.of_machine(name, args.role, args.service)
        self.log_group = log_group_name(args.tags.stack, args.role, args.service)
        group = aws.cloudwatch.LogGroup(f"{name}-log", name=self.log_group, retention_in_days=RETENTION_DAYS, tags=tags, opts=child)
        role = aws.iam.Role(f"{name}-role", assume_role_policy=json.dumps(policies.assumed_by("ec2.amazonaws.com")), tags=tags, opts=child)
        policy = Output.all(log_group=group.arn, repositories=list(args.repositories), statements=args.statements).apply(
            lambda known: _policy_text(args, known["log_group"], known["repositories"], known["statements"])
        )
        permission = aws.iam.RolePolicy(f"{name}-policy", role=role.id, policy=policy, opts=child)
        profile = aws.iam.InstanceProfile(f"{name}-profile", role=role.name, tags=tags, opts=child)
        self.role_name, self.profile_arn = role.name, profile.arn
        self.ready = [permission, group]
        self.register_outputs({"role_name": self.role_name, "profile_arn": self.profile_arn})


def _policy_text(args: IdentityArgs, log_group: str, repositories: Sequence[str], extra: Sequence[policies.Statement]) -> str:
    statements = [policies.logs([log_group]), *extra]
    if args.parameters:
        statements.append(policies.parameters(args.region, args.parameters))
    if args.secrets:
        statements.append(policies.secrets(args.region, args.secrets))
    if repositories:
        statements.extend(policies.pull_images(repositories))
    return json.dumps(policies.machine(args.region, statements))
