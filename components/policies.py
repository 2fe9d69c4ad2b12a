"""IAM policies as pure functions: what each kind of machine may do and nothing beside.

Names are known before the resources exist, so most statements need no output; `*` for the account is safe in a
role's own policy, since other accounts' resources would have to allow it too.
"""

from collections.abc import Sequence
from typing import Any

from model.contract import TAG_ROLE, TAG_STACK

Statement = dict[str, Any]
Policy = dict[str, Any]


def assumed_by(service: str) -> Policy:
    """Trust policy: an AWS service may take the role."""
    return _policy([{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}])


def machine(region: str, statements: Sequence[Statement]) -> Policy:
    """Policy of a machine's role: Session Manager and what else its duties need."""
    return _policy([*_session_manager(region), *statements])


def write_logs(group_arns: Sequence[str]) -> Policy:
    """Policy of a service that writes to the given log groups."""
    return _policy([logs(group_arns)])


def logs(group_arns: Sequence[str]) -> Statement:
    """May write to log streams of the groups."""
    return _allow(
        ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
        [arn.removesuffix(":*") + ":*" for arn in group_arns],
    )


def parameters(region: str, names: Sequence[str]) -> Statement:
    """May read these SSM parameters; the key `aws/ssm` lets the account's readers decrypt."""
    return _allow(["ssm:GetParameter", "ssm:GetParameters"], [f"arn:aws:ssm:{region}:*:parameter{name}" for name in sorted(names)])


def secrets(region: str, names: Sequence[str]) -> Statement:
    """May read these Secrets Manager secrets; AWS appends six characters to a secret's name in its ARN."""
    return _allow(["secretsmanager:GetSecretValue"], [f"arn:aws:secretsmanager:{region}:*:secret:{name}-??????" for name in sorted(names)])


def pull_images(repository_arns: Sequence[str]) -> list[Statement]:
    """May pull from these ECR repositories; the token itself has no resource."""
    return [
        _allow(["ecr:GetAuthorizationToken"], ["*"]),
        _allow(["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], sorted(set(repository_arns))),
    ]


def take_address(region: str, stack: str) -> list[Statement]:
    """May move the stack's Elastic IPs between the stack's machines."""
    kinds = ("elastic-ip", "instance")
    return [
        _of_stack(["ec2:AssociateAddress"], [f"arn:aws:ec2:{region}:*:{kind}/*" for kind in kinds], "aws", stack),
        _allow(["ec2:DescribeAddresses"], ["*"]),
    ]


def claim_address(region: str, stack: str, role: str) -> Statement:
    """May give network interfaces of its own role further private addresses; those of others are theirs unless it asks for force."""
    return _of_role(["ec2:AssignPrivateIpAddresses"], [f"arn:aws:ec2:{region}:*:network-interface/*"], stack, role)


def attach_volume(region: str, stack: str, role: str) -> list[Statement]:
    """May attach volumes of its own role to machines of its own role."""
    return [
        _of_role(["ec2:AttachVolume"], [f"arn:aws:ec2:{region}:*:{kind}/*" for kind in ("instance", "volume")], stack, role),
        _allow(["ec2:DescribeVolumes"], ["*"]),
    ]


def control(regions: Sequence[str], stack: str, bucket_arn: str) -> list[Statement]:
    """May read the mesh document, share state with its replica, see machines, and finish the lifecycle hooks of the stack's groups.

    The groups are in `regions`: the stack's own and those of outer edges.
    """
    groups = [f"arn:aws:autoscaling:{region}:*:autoScalingGroup:*:autoScalingGroupName/*" for region in regions]
    finish = ["autoscaling:CompleteLifecycleAction", "autoscaling:RecordLifecycleActionHeartbeat", "autoscaling:SetInstanceHealth"]
    return [
        _allow(["s3:GetObject"], [f"{bucket_arn}/documents/*"]),
        _allow(["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], [f"{bucket_arn}/control/*"]),
        _allow(["s3:ListBucket"], [bucket_arn]),
        discover(),
        _allow(
            [
                "autoscaling:DescribeAutoScalingGroups",
                "autoscaling:DescribeAutoScalingInstances",
                "autoscaling:DescribeLifecycleHooks",
            ],
            ["*"],
        ),
        _of_stack(finish, groups, "autoscaling", stack),
    ]


def renew_certificate(region: str, names: Sequence[str]) -> list[Statement]:
    """May store what ACME brings in these SSM parameters, and prove a domain by a TXT record; no other record of any zone."""
    proof = {
        "ForAllValues:StringEquals": {
            "route53:ChangeResourceRecordSetsRecordTypes": ["TXT"],
            "route53:ChangeResourceRecordSetsActions": ["UPSERT", "DELETE"],
        },
        "ForAllValues:StringLike": {"route53:ChangeResourceRecordSetsNormalizedRecordNames": ["_acme-challenge.*"]},
    }
    return [
        _allow(["ssm:PutParameter"], [f"arn:aws:ssm:{region}:*:parameter{name}" for name in sorted(names)]),
        _allow(["route53:ListHostedZones"], ["*"]),
        _allow(["route53:GetChange"], ["arn:aws:route53:::change/*"]),
        {**_allow(["route53:ChangeResourceRecordSets"], ["arn:aws:route53:::hostedzone/*"]), "Condition": proof},
    ]


def discover() -> Statement:
    """May list machines; EC2's Describe actions know no resources."""
    return _allow(["ec2:DescribeAvailabilityZones", "ec2:DescribeInstances"], ["*"])


def tls_only(bucket_arn: str) -> Policy:
    """Bucket policy that refuses everything that does not come by TLS."""
    return _policy(
        [
            {
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                # AWS ignores the case of an action. moto does not, nor does it know conditions: it would deny everything.
                "Action": "s3:*",
                "Resource": [bucket_arn, f"{bucket_arn}/*"],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            }
        ]
    )


def _session_manager(region: str) -> list[Statement]:
    """What the SSM agent needs. AWS's managed policy also reads every parameter of the account, which is why it is not used.

    A machine's id is not known when its role is made; the channels know no resource.
    """
    channels = [
        "ec2messages:AcknowledgeMessage",
        "ec2messages:DeleteMessage",
        "ec2messages:FailMessage",
        "ec2messages:GetEndpoint",
        "ec2messages:GetMessages",
        "ec2messages:SendReply",
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
    ]
    return [_allow(["ssm:UpdateInstanceInformation"], [f"arn:aws:ec2:{region}:*:instance/*"]), _allow(channels, ["*"])]


def _of_stack(actions: Sequence[str], resources: Sequence[str], service: str, stack: str) -> Statement:
    condition = {"StringEquals": {f"{service}:ResourceTag/{TAG_STACK}": stack}}
    return {**_allow(actions, resources), "Condition": condition}


def _of_role(actions: Sequence[str], resources: Sequence[str], stack: str, role: str) -> Statement:
    tags = {f"aws:ResourceTag/{TAG_STACK}": stack, f"aws:ResourceTag/{TAG_ROLE}": role}
    return {**_allow(actions, resources), "Condition": {"StringEquals": tags}}


def _allow(actions: Sequence[str], resources: Sequence[str]) -> Statement:
    return {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}


def _policy(statements: Sequence[Statement]) -> Policy:
    return {"Version": "2012-10-17", "Statement": list(statements)}
