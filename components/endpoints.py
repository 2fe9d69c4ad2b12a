"""Interface endpoints: how machines reach AWS's APIs in a VPC without NAT."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi import Input, ResourceOptions

from components.network import Zone
from components.tags import StackTags

SERVICES = (
    "autoscaling",
    "ec2",
    "ec2messages",
    "ecr.api",
    "ecr.dkr",
    "logs",
    "monitoring",
    "secretsmanager",
    "ssm",
    "ssmmessages",
    "sts",
)
"""What machines call; S3 has its gateway endpoint. Images must come from ECR then, and Docker from a baked AMI."""


@dataclass(frozen=True, kw_only=True)
class EndpointsArgs:
    vpc_id: Input[str]
    region: str
    zones: list[Zone]
    security_group: Input[str]
    """Id of the group that lets machines in on port 443."""
    tags: StackTags


class Endpoints(pulumi.ComponentResource):
    """An interface endpoint per AWS service, with an address in each private subnet and the service's own DNS name."""

    ready: list[pulumi.Resource]
    """The endpoints; a machine that boots before them reaches nothing."""

    def __init__(self, name: str, args: EndpointsArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("mesh:endpoints:Endpoints", name, {}, opts)
        self.ready = [
            aws.ec2.VpcEndpoint(
                f"{name}-{service}",
                vpc_id=args.vpc_id,
                vpc_endpoint_type="Interface",
                service_name=f"com.amazonaws.{args.region}.{service}",
                subnet_ids=[zone.private.id for zone in args.zones],
                security_group_ids=[args.security_group],
                private_dns_enabled=True,
                tags=args.tags.of(service),
                opts=ResourceOptions(parent=self),
            )
            for service in SERVICES
        ]
        self.register_outputs({})
