"""Flow logs of a VPC in CloudWatch, with the role that delivers them."""

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components import policies
from components.tags import StackTags

RETENTION_DAYS = 14


@dataclass(frozen=True, kw_only=True)
class FlowLogsArgs:
    vpc_id: Input[str]
    tags: StackTags


class FlowLogs(pulumi.ComponentResource):
    """Records every connection of a VPC, refused ones too: a log group, its delivery role, the flow log."""

    log_group: Output[str]
    """Name of the CloudWatch log group."""

    def __init__(self, name: str, args: FlowLogsArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:flow_logs:FlowLogs", name, {}, opts)
        child = ResourceOptions(parent=self)
        tags = args.tags.of("flow-logs")
        group = aws.cloudwatch.LogGroup(f"{name}-log", retention_in_days=RETENTION_DAYS, tags=tags, opts=child)
        role = aws.iam.Role(
            f"{name}-role", assume_role_policy=json.dumps(policies.assumed_by("vpc-flow-logs.amazonaws.com")), tags=tags, opts=child
        )
        permission = aws.iam.RolePolicy(
            f"{name}-write", role=role.id, policy=group.arn.apply(lambda arn: json.dumps(policies.write_logs([arn]))), opts=child
        )
        aws.ec2.FlowLog(
            f"{name}-vpc",
            vpc_id=args.vpc_id,
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            tags=tags,
            opts=ResourceOptions(parent=self, depends_on=[permission]),
        )
        self.log_group = group.name
        self.register_outputs({"log_group": self.log_group})
