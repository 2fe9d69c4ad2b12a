"""The contract of the table: every row goes through create, read, no-op, update, replacement, adoption and deletion against moto."""

import base64
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pytest

from local.provider.clients import Clients
from local.provider.engine import Engine
from local.provider.row import Properties
from local.provider.table import ROWS
from local.provider.wire import UNKNOWN

pytestmark = pytest.mark.components

AMI = "ami-12c6146b"
TRUST = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
)
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}]})
OTHER_POLICY = POLICY.replace("GetObject", "PutObject")
_numbers = itertools.count(1)


class World:
    """What resources need of others, made through the same engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.number = next(_numbers)

    def make(self, token: str, name: str, inputs: Properties) -> str:
        urn = urn_of(token, f"{name}{self.number}")
        checked, failures = self.engine.check(urn, {}, inputs)
        assert not failures
        return self.engine.create(urn, checked)[0]

    @cached_property
    def vpc(self) -> str:
        return self.make("aws:ec2/vpc:Vpc", "vpc", {"cidrBlock": "127.20.0.0/16"})

    @cached_property
    def other_vpc(self) -> str:
        return self.make("aws:ec2/vpc:Vpc", "other-vpc", {"cidrBlock": "127.21.0.0/16"})

    @cached_property
    def subnet(self) -> str:
        return self._subnet("subnet", 0, "eu-central-1a")

    @cached_property
    def other_subnet(self) -> str:
        return self._subnet("other-subnet", 1, "eu-central-1b")

    def _subnet(self, name: str, number: int, zone: str) -> str:
        inputs = {"vpcId": self.vpc, "cidrBlock": f"127.20.{number}.0/24", "availabilityZone": zone}
        return self.make("aws:ec2/subnet:Subnet", name, inputs)

    @cached_property
    def group(self) -> str:
        return self.make("aws:ec2/securityGroup:SecurityGroup", "group", {"vpcId": self.vpc})

    @cached_property
    def other_group(self) -> str:
        return self.make("aws:ec2/securityGroup:SecurityGroup", "other-group", {"vpcId": self.vpc})

    @cached_property
    def gateway(self) -> str:
        return self.make("aws:ec2/internetGateway:InternetGateway", "gateway", {"vpcId": self.vpc})

    @cached_property
    def table(self) -> str:
        return self.make("aws:ec2/routeTable:RouteTable", "table", {"vpcId": self.vpc})

    @cached_property
    def other_table(self) -> str:
        return self.make("aws:ec2/routeTable:RouteTable", "other-table", {"vpcId": self.vpc})

    @cached_property
    def eip(self) -> str:
        return self.make("aws:ec2/eip:Eip", "eip", {"domain": "vpc"})

    @cached_property
    def other_eip(self) -> str:
        return self.make("aws:ec2/eip:Eip", "other-eip", {"domain": "vpc"})

    @cached_property
    def nat(self) -> str:
        return self.make("aws:ec2/natGateway:NatGateway", "nat", {"subnetId": self.subnet, "allocationId": self.eip})

    @cached_property
    def role(self) -> str:
        return self.make("aws:iam/role:Role", "role", {"assumeRolePolicy": TRUST})

    @cached_property
    def other_role(self) -> str:
        return self.make("aws:iam/role:Role", "other-role", {"assumeRolePolicy": TRUST})

    @cached_property
    def policy(self) -> str:
        return self.make("aws:iam/policy:Policy", "policy", {"policy": POLICY})

    @cached_property
    def template(self) -> str:
        return self.make("aws:ec2/launchTemplate:LaunchTemplate", "template", {"imageId": AMI, "instanceType": "t3.micro"})

    @cached_property
    def asg(self) -> str:
        inputs = {
            "minSize": 0,
            "maxSize": 2,
            "desiredCapacity": 0,
            "launchTemplate": {"id": self.template, "version": "1"},
            "vpcZoneIdentifiers": [self.subnet],
        }
        return self.make("aws:autoscaling/group:Group", "asg", inputs)

    @cached_property
    def instance(self) -> str:
        return self.make("aws:ec2/instance:Instance", "instance", {"ami": AMI, "instanceType": "t3.micro", "subnetId": self.subnet})

    @cached_property
    def volume(self) -> str:
        return self.make("aws:ebs/volume:Volume", "volume", {"availabilityZone": "eu-central-1a", "size": 1})

    @cached_property
    def other_volume(self) -> str:
        return self.make("aws:ebs/volume:Volume", "other-volume", {"availabilityZone": "eu-central-1a", "size": 1})

    @cached_property
    def bucket(self) -> str:
        return self.make("aws:s3/bucket:Bucket", "bucket", {"forceDestroy": True})

    @cached_property
    def other_bucket(self) -> str:
        return self.make("aws:s3/bucket:Bucket", "other-bucket", {"forceDestroy": True})

    @cached_property
    def zone(self) -> str:
        return self.make("aws:route53/zone:Zone", "zone", {"name": f"w{self.number}.internal", "vpcs": [{"vpcId": self.vpc}]})

    @cached_property
    def key(self) -> str:
        return self.make("aws:kms/key:Key", "key", {"description": "a key"})

    @cached_property
    def other_key(self) -> str:
        return self.make("aws:kms/key:Key", "other-key", {"description": "another key"})

    @cached_property
    def secret(self) -> str:
        return self.make("aws:secretsmanager/secret:Secret", "secret", {"name": f"/secret/{self.number}"})

    @cached_property
    def repository(self) -> str:
        return self.make("aws:ecr/repository:Repository", "repository", {})

    @cached_property
    def other_repository(self) -> str:
        return self.make("aws:ecr/repository:Repository", "other-repository", {})

    @cached_property
    def log_group(self) -> str:
        return f"arn:aws:logs:eu-central-1:123456789012:log-group:{self.make('aws:cloudwatch/logGroup:LogGroup', 'logs', {})}"

    @cached_property
    def pem(self) -> str:
        outputs = self.engine.create(urn_of("tls:index/privateKey:PrivateKey", "k"), {"algorithm": "ECDSA", "ecdsaCurve": "P256"})[1]
        return str(outputs["privateKeyPem"])

    @cached_property
    def ca(self) -> str:
        inputs = {"privateKeyPem": self.pem, "subject": {"commonName": "ca"}, "isCaCertificate": True, "validityPeriodHours": 24}
        inputs["allowedUses"] = ["cert_signing"]
        return str(self.engine.create(urn_of("tls:index/selfSignedCert:SelfSignedCert", "ca"), inputs)[1]["certPem"])

    @cached_property
    def request(self) -> str:
        inputs = {"privateKeyPem": self.pem, "subject": {"commonName": "leaf"}, "dnsNames": ["leaf.internal"]}
        return str(self.engine.create(urn_of("tls:index/certRequest:CertRequest", "r"), inputs)[1]["certRequestPem"])

    @cached_property
    def peering(self) -> str:
        return self.make("aws:ec2/vpcPeeringConnection:VpcPeeringConnection", "peering", {"vpcId": self.vpc, "peerVpcId": self.other_vpc})

    @cached_property
    def other_peering(self) -> str:
        return self.make("aws:ec2/vpcPeeringConnection:VpcPeeringConnection", "back", {"vpcId": self.other_vpc, "peerVpcId": self.vpc})


Inputs = Callable[[World], Properties]


@dataclass(frozen=True)
class Case:
    """Inputs of one type; what an update changes (None: every change replaces); what replaces."""

    token: str
    inputs: Inputs
    update: Inputs | None
    replace: Inputs
    loses_on_delete: bool = True
    found_again: bool = True
    outputs: tuple[str, ...] = field(default=())


def user_data(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


TAGS = {"tags": {"mesh:role": "edge"}}
CASES = [
    Case(
        "aws:ec2/vpc:Vpc",
        lambda w: {"cidrBlock": "127.30.0.0/16", "enableDnsHostnames": True, "tags": {"Name": "v"}},
        lambda w: {"enableDnsHostnames": False, **TAGS},
        lambda w: {"cidrBlock": "127.31.0.0/16"},
        outputs=("arn", "defaultSecurityGroupId", "mainRouteTableId"),
    ),
    Case(
        "aws:ec2/subnet:Subnet",
        lambda w: {"vpcId": w.vpc, "cidrBlock": "127.20.9.0/24", "availabilityZone": "eu-central-1b"},
        lambda w: {"mapPublicIpOnLaunch": True},
        lambda w: {"cidrBlock": "127.20.10.0/24"},
        outputs=("arn", "availabilityZoneId"),
    ),
    Case(
        "aws:ec2/internetGateway:InternetGateway",
        lambda w: {"vpcId": w.vpc},
        lambda w: {"vpcId": w.other_vpc},
        lambda w: {"region": "us-east-1", "vpcId": None},
        outputs=("arn",),
    ),
    Case(
        "aws:ec2/eip:Eip",
        lambda w: {"domain": "vpc", "address": f"127.20.100.{w.number % 200}"},
        lambda w: TAGS,
        lambda w: {"address": f"127.20.101.{w.number % 200}"},
        outputs=("allocationId", "publicIp"),
    ),
    Case(
        "aws:ec2/natGateway:NatGateway",
        lambda w: {"subnetId": w.subnet, "allocationId": w.eip},
        lambda w: TAGS,
        lambda w: {"subnetId": w.other_subnet, "allocationId": w.other_eip},
        outputs=("publicIp",),
    ),
    Case(
        "aws:ec2/routeTable:RouteTable",
        lambda w: {"vpcId": w.vpc},
        lambda w: {"routes": [{"cidrBlock": "0.0.0.0/0", "gatewayId": w.gateway}]},
        lambda w: {"vpcId": w.other_vpc},
        outputs=("arn",),
    ),
    Case(
        "aws:ec2/route:Route",
        lambda w: {"routeTableId": w.table, "destinationCidrBlock": "0.0.0.0/0", "gatewayId": w.gateway},
        lambda w: {"gatewayId": None, "natGatewayId": w.nat},
        lambda w: {"destinationCidrBlock": "10.0.0.0/8"},
        outputs=("state",),
    ),
    Case(
        "aws:ec2/routeTableAssociation:RouteTableAssociation",
        lambda w: {"routeTableId": w.table, "subnetId": w.subnet},
        None,
        lambda w: {"subnetId": w.other_subnet},
    ),
    Case(
        "aws:ec2/networkAcl:NetworkAcl",
        lambda w: {
            "vpcId": w.vpc,
            "subnetIds": [w.subnet],
            "ingress": [{"ruleNo": 100, "action": "allow", "protocol": "tcp", "cidrBlock": "0.0.0.0/0", "fromPort": 443, "toPort": 443}],
        },
        lambda w: {
            "subnetIds": [w.other_subnet],
            "ingress": [{"ruleNo": 100, "action": "allow", "protocol": "tcp", "cidrBlock": "0.0.0.0/0", "fromPort": 80, "toPort": 80}],
        },
        lambda w: {"vpcId": w.other_vpc, "subnetIds": []},
        outputs=("arn",),
    ),
    Case(
        "aws:ec2/vpcEndpoint:VpcEndpoint",
        lambda w: {"vpcId": w.vpc, "serviceName": "com.amazonaws.eu-central-1.s3", "routeTableIds": [w.table]},
        lambda w: {"routeTableIds": [w.table, w.other_table]},
        lambda w: {"serviceName": "com.amazonaws.eu-central-1.dynamodb"},
        outputs=("arn", "state"),
    ),
    Case(
        "aws:ec2/flowLog:FlowLog",
        lambda w: {
            "vpcId": w.vpc,
            "trafficType": "REJECT",
            "logDestination": w.log_group,
            "iamRoleArn": f"arn:aws:iam::123456789012:role/{w.role}",
        },
        lambda w: TAGS,
        lambda w: {"vpcId": w.other_vpc},
        outputs=("arn",),
    ),
    Case(
        "aws:ec2/vpcPeeringConnection:VpcPeeringConnection",
        lambda w: {"vpcId": w.vpc, "peerVpcId": w.other_vpc, "autoAccept": True},
        lambda w: TAGS,
        lambda w: {"vpcId": w.other_vpc, "peerVpcId": w.vpc},
        outputs=("acceptStatus",),
    ),
    Case(
        "aws:ec2/vpcPeeringConnectionAccepter:VpcPeeringConnectionAccepter",
        lambda w: {"vpcPeeringConnectionId": w.peering, "autoAccept": True},
        lambda w: TAGS,
        lambda w: {"vpcPeeringConnectionId": w.other_peering},
        loses_on_delete=False,
        found_again=False,
        outputs=("acceptStatus",),
    ),
    Case(
        "aws:ec2/securityGroup:SecurityGroup",
        lambda w: {"vpcId": w.vpc, "description": "d"},
        lambda w: {"ingress": [{"protocol": "tcp", "fromPort": 1, "toPort": 2, "cidrBlocks": ["10.0.0.0/8"]}], **TAGS},
        lambda w: {"description": "e"},
        outputs=("arn", "name"),
    ),
    Case(
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        lambda w: {
            "securityGroupId": w.group,
            "ipProtocol": "tcp",
            "fromPort": 80,
            "toPort": 80,
            "referencedSecurityGroupId": w.other_group,
        },
        lambda w: {"toPort": 81},
        lambda w: {"securityGroupId": w.other_group},
        outputs=("arn", "securityGroupRuleId"),
    ),
    Case(
        "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
        lambda w: {"securityGroupId": w.group, "ipProtocol": "-1", "cidrIpv4": "0.0.0.0/0"},
        lambda w: {"description": "out"},
        lambda w: {"securityGroupId": w.other_group},
        outputs=("arn",),
    ),
    Case(
        "aws:ec2/launchTemplate:LaunchTemplate",
        lambda w: {
            "imageId": AMI,
            "instanceType": "t3.micro",
            "userData": user_data("one"),
            "updateDefaultVersion": True,
            "vpcSecurityGroupIds": [w.group],
            "metadataOptions": {"httpTokens": "required", "httpPutResponseHopLimit": 1},
            "tagSpecifications": [{"resourceType": "instance", "tags": {"mesh:role": "edge"}}],
        },
        lambda w: {"userData": user_data("two")},
        lambda w: {"name": f"other-{w.number}"},
        outputs=("arn", "latestVersion"),
    ),
    Case(
        "aws:ec2/instance:Instance",
        lambda w: {
            "ami": AMI,
            "instanceType": "t3.micro",
            "subnetId": w.subnet,
            "privateIp": "127.20.0.50",
            "userData": "one",
            "vpcSecurityGroupIds": [w.group],
        },
        lambda w: {"vpcSecurityGroupIds": [w.other_group], **TAGS},
        lambda w: {"privateIp": "127.20.0.51"},
        outputs=("arn", "privateIp", "primaryNetworkInterfaceId"),
    ),
    Case(
        "aws:ec2/networkInterface:NetworkInterface",
        lambda w: {"subnetId": w.subnet, "privateIps": ["127.20.0.60"], "securityGroups": [w.group]},
        lambda w: {"securityGroups": [w.other_group]},
        lambda w: {"privateIps": ["127.20.0.61"]},
        outputs=("arn", "privateIp"),
    ),
    Case(
        "aws:ebs/volume:Volume",
        lambda w: {"availabilityZone": "eu-central-1a", "size": 1, "type": "gp3", "encrypted": True},
        lambda w: {"size": 2},
        lambda w: {"availabilityZone": "eu-central-1b"},
        outputs=("arn",),
    ),
    Case(
        "aws:ec2/volumeAttachment:VolumeAttachment",
        lambda w: {"deviceName": "/dev/sdf", "volumeId": w.volume, "instanceId": w.instance},
        lambda w: {"stopInstanceBeforeDetaching": True},
        lambda w: {"volumeId": w.other_volume},
    ),
    Case(
        "aws:autoscaling/group:Group",
        lambda w: {
            "minSize": 0,
            "maxSize": 2,
            "desiredCapacity": 1,
            "launchTemplate": {"id": w.template, "version": "1"},
            "vpcZoneIdentifiers": [w.subnet],
            "tags": [{"key": "mesh:role", "value": "service", "propagateAtLaunch": True}],
            "initialLifecycleHooks": [
                {"name": "drain", "lifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING", "defaultResult": "CONTINUE"}
            ],
        },
        lambda w: {"maxSize": 3},
        lambda w: {"name": f"other-{w.number}"},
        outputs=("arn", "availabilityZones"),
    ),
    Case(
        "aws:autoscaling/policy:Policy",
        lambda w: {
            "autoscalingGroupName": w.asg,
            "policyType": "TargetTrackingScaling",
            "targetTrackingConfiguration": {
                "predefinedMetricSpecification": {"predefinedMetricType": "ASGAverageCPUUtilization"},
                "targetValue": 60,
            },
        },
        lambda w: {
            "targetTrackingConfiguration": {
                "predefinedMetricSpecification": {"predefinedMetricType": "ASGAverageCPUUtilization"},
                "targetValue": 70,
            }
        },
        lambda w: {"name": f"other-{w.number}"},
        outputs=("arn",),
    ),
    Case(
        "aws:autoscaling/lifecycleHook:LifecycleHook",
        lambda w: {"autoscalingGroupName": w.asg, "lifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"},
        lambda w: {"heartbeatTimeout": 60},
        lambda w: {"name": f"other-{w.number}"},
    ),
    Case(
        "aws:iam/role:Role",
        lambda w: {"assumeRolePolicy": TRUST, "description": "d"},
        lambda w: {"managedPolicyArns": [w.policy], **TAGS},
        lambda w: {"name": f"other-{w.number}"},
        outputs=("arn", "uniqueId"),
    ),
    Case(
        "aws:iam/rolePolicy:RolePolicy",
        lambda w: {"role": w.role, "policy": POLICY},
        lambda w: {"policy": OTHER_POLICY},
        lambda w: {"role": w.other_role},
    ),
    Case(
        "aws:iam/policy:Policy",
        lambda w: {"policy": POLICY},
        lambda w: {"policy": OTHER_POLICY},
        lambda w: {"description": "new"},
        outputs=("arn", "policyId"),
    ),
    Case(
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        lambda w: {"role": w.role, "policyArn": w.policy},
        None,
        lambda w: {"role": w.other_role},
    ),
    Case(
        "aws:iam/instanceProfile:InstanceProfile",
        lambda w: {"role": w.role},
        lambda w: {"role": w.other_role},
        lambda w: {"name": f"other-{w.number}"},
        outputs=("arn",),
    ),
    Case(
        "aws:ssm/parameter:Parameter",
        lambda w: {"name": f"/p/{w.number}", "type": "SecureString", "value": "one"},
        lambda w: {"value": "two", **TAGS},
        lambda w: {"name": f"/q/{w.number}"},
        outputs=("arn", "version"),
    ),
    Case(
        "aws:secretsmanager/secret:Secret",
        lambda w: {"name": f"/s/{w.number}"},
        lambda w: {"description": "d", **TAGS},
        lambda w: {"name": f"/t/{w.number}"},
        outputs=("arn",),
    ),
    Case(
        "aws:secretsmanager/secretVersion:SecretVersion",
        lambda w: {"secretId": w.secret, "secretString": "one"},
        None,
        lambda w: {"secretString": "two"},
        loses_on_delete=False,
        found_again=False,
        outputs=("arn", "versionId"),
    ),
    Case(
        "aws:s3/bucket:Bucket",
        lambda w: {"forceDestroy": True},
        lambda w: TAGS,
        lambda w: {"bucket": f"other-{w.number}"},
        outputs=("arn", "bucketRegionalDomainName"),
    ),
    Case(
        "aws:s3/bucketVersioning:BucketVersioning",
        lambda w: {"bucket": w.bucket, "versioningConfiguration": {"status": "Enabled"}},
        lambda w: {"versioningConfiguration": {"status": "Suspended"}},
        lambda w: {"bucket": w.other_bucket},
        loses_on_delete=False,
    ),
    Case(
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        lambda w: {"bucket": w.bucket, "blockPublicAcls": True},
        lambda w: {"blockPublicPolicy": True},
        lambda w: {"bucket": w.other_bucket},
    ),
    Case(
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        lambda w: {"bucket": w.bucket, "rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}]},
        lambda w: {"rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms"}, "bucketKeyEnabled": True}]},
        lambda w: {"bucket": w.other_bucket},
    ),
    Case(
        "aws:s3/bucketPolicy:BucketPolicy",
        lambda w: {"bucket": w.bucket, "policy": POLICY},
        lambda w: {"policy": OTHER_POLICY},
        lambda w: {"bucket": w.other_bucket},
    ),
    Case(
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        lambda w: {
            "bucket": w.bucket,
            "rules": [{"id": "old", "status": "Enabled", "noncurrentVersionExpiration": {"noncurrentDays": 30}}],
        },
        lambda w: {"rules": [{"id": "old", "status": "Enabled", "filter": {"prefix": "x/"}, "expiration": {"days": 7}}]},
        lambda w: {"bucket": w.other_bucket},
    ),
    Case(
        "aws:s3/bucketObjectv2:BucketObjectv2",
        lambda w: {"bucket": w.bucket, "key": "documents/mesh.json", "content": "{}"},
        lambda w: {"content": '{"a": 1}', "tags": {"a": "b"}},
        lambda w: {"key": "other.json"},
        outputs=("etag", "versionId"),
    ),
    Case(
        "aws:cloudwatch/logGroup:LogGroup",
        lambda w: {"retentionInDays": 7},
        lambda w: {"retentionInDays": 14, **TAGS},
        lambda w: {"name": f"other-{w.number}"},
        outputs=("arn",),
    ),
    Case(
        "aws:ecr/repository:Repository",
        lambda w: {"imageTagMutability": "IMMUTABLE"},
        lambda w: {"imageTagMutability": "MUTABLE", **TAGS},
        lambda w: {"name": f"other-{w.number}"},
        outputs=("arn", "repositoryUrl"),
    ),
    Case(
        "aws:ecr/lifecyclePolicy:LifecyclePolicy",
        lambda w: {
            "repository": w.repository,
            "policy": json.dumps(
                {
                    "rules": [
                        {
                            "rulePriority": 1,
                            "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 5},
                            "action": {"type": "expire"},
                        }
                    ]
                }
            ),
        },
        lambda w: {
            "policy": json.dumps(
                {
                    "rules": [
                        {
                            "rulePriority": 1,
                            "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 6},
                            "action": {"type": "expire"},
                        }
                    ]
                }
            )
        },
        lambda w: {"repository": w.other_repository},
    ),
    Case(
        "aws:kms/key:Key",
        lambda w: {"description": "one"},
        lambda w: {"description": "two", "enableKeyRotation": True, **TAGS},
        lambda w: {"keyUsage": "SIGN_VERIFY"},
        found_again=False,
        outputs=("arn", "keyId"),
    ),
    Case(
        "aws:kms/alias:Alias",
        lambda w: {"name": f"alias/a{w.number}", "targetKeyId": w.key},
        lambda w: {"targetKeyId": w.other_key},
        lambda w: {"name": f"alias/b{w.number}"},
        outputs=("arn",),
    ),
    Case(
        "aws:route53/zone:Zone",
        lambda w: {"name": f"z{w.number}.internal", "vpcs": [{"vpcId": w.vpc}]},
        lambda w: {"comment": "c", "vpcs": [{"vpcId": w.vpc}, {"vpcId": w.other_vpc}], **TAGS},
        lambda w: {"name": f"y{w.number}.internal"},
        outputs=("arn", "zoneId"),
    ),
    Case(
        "aws:route53/record:Record",
        lambda w: {"zoneId": w.zone, "name": "postgres", "type": "A", "ttl": 60, "records": ["127.20.0.9"]},
        lambda w: {"records": ["127.20.0.10"]},
        lambda w: {"name": "other"},
        outputs=("fqdn",),
    ),
    Case(
        "tls:index/privateKey:PrivateKey",
        lambda w: {"algorithm": "ECDSA", "ecdsaCurve": "P256"},
        None,
        lambda w: {"ecdsaCurve": "P384"},
        loses_on_delete=False,
        found_again=False,
        outputs=("privateKeyPem", "publicKeyOpenssh"),
    ),
    Case(
        "tls:index/certRequest:CertRequest",
        lambda w: {"privateKeyPem": w.pem, "subject": {"commonName": "a"}},
        None,
        lambda w: {"dnsNames": ["b"]},
        loses_on_delete=False,
        found_again=False,
        outputs=("certRequestPem",),
    ),
    Case(
        "tls:index/selfSignedCert:SelfSignedCert",
        lambda w: {"privateKeyPem": w.pem, "subject": {"commonName": "a"}, "validityPeriodHours": 10, "allowedUses": ["server_auth"]},
        lambda w: {"earlyRenewalHours": 1},
        lambda w: {"dnsNames": ["b"]},
        loses_on_delete=False,
        found_again=False,
        outputs=("certPem", "validityEndTime"),
    ),
    Case(
        "tls:index/locallySignedCert:LocallySignedCert",
        lambda w: {
            "certRequestPem": w.request,
            "caCertPem": w.ca,
            "caPrivateKeyPem": w.pem,
            "validityPeriodHours": 10,
            "allowedUses": ["client_auth"],
        },
        lambda w: {"earlyRenewalHours": 1},
        lambda w: {"allowedUses": ["server_auth"]},
        loses_on_delete=False,
        found_again=False,
        outputs=("certPem", "caKeyAlgorithm"),
    ),
    Case(
        "random:index/randomPassword:RandomPassword",
        lambda w: {"length": 20, "special": False},
        None,
        lambda w: {"length": 21},
        loses_on_delete=False,
        found_again=False,
        outputs=("result",),
    ),
    Case(
        "random:index/randomString:RandomString",
        lambda w: {"length": 8},
        None,
        lambda w: {"length": 9},
        loses_on_delete=False,
        found_again=False,
        outputs=("result",),
    ),
    Case(
        "random:index/randomId:RandomId",
        lambda w: {"byteLength": 4},
        None,
        lambda w: {"byteLength": 5},
        loses_on_delete=False,
        found_again=False,
        outputs=("hex", "dec", "b64Url"),
    ),
    Case(
        "random:index/randomPet:RandomPet", lambda w: {"length": 2}, None, lambda w: {"length": 3}, loses_on_delete=False, found_again=False
    ),
    Case(
        "docker-build:index:Image",
        lambda w: {"context": {"location": "local/provider"}, "tags": ["r/a:1"]},
        lambda w: {"buildArgs": {"A": "b"}},
        lambda w: {},
        loses_on_delete=False,
        found_again=False,
        outputs=("digest", "ref"),
    ),
    Case(
        "docker:index/image:Image",
        lambda w: {"imageName": "reg.example.com/a:1", "build": {"context": "local/provider"}},
        lambda w: {"build": {"context": "local/provider", "args": {"A": "b"}}},
        lambda w: {},
        loses_on_delete=False,
        found_again=False,
        outputs=("repoDigest", "baseImageName"),
    ),
]


def urn_of(token: str, name: str) -> str:
    return f"urn:pulumi:test::mesh::mesh:test:Parent${token}::{name}"


def without_none(inputs: Properties) -> Properties:
    return {name: value for name, value in inputs.items() if value is not None}


def tokens(cases: list[Case]) -> list[Any]:
    return [pytest.param(case, id=case.token.split(":")[-1]) for case in cases]


def test_every_row_has_a_case() -> None:
    assert {case.token for case in CASES} == set(ROWS)


@pytest.mark.parametrize("case", tokens(CASES))
def test_a_row_creates_reads_updates_replaces_and_deletes(case: Case, engine: Engine) -> None:
    world = World(engine)
    urn = urn_of(case.token, f"it{world.number}")
    inputs, failures = engine.check(urn, {}, case.inputs(world))
    assert failures == []
    assert engine.create(urn, inputs, preview=True)[0] == ""
    resource_id, state = engine.create(urn, inputs)
    assert resource_id
    assert [name for name in case.outputs if not state.get(name)] == []
    assert not str(state.get("arn", "arn:aws:")).startswith("arn:aws:::"), state
    assert "mesh:urn" not in repr(state)

    assert engine.read(urn, resource_id, inputs, state) == state
    checked, _ = engine.check(urn, inputs, case.inputs(world))
    assert engine.diff(urn, resource_id, inputs, checked, state).changes == ()

    if case.update is not None:
        changed, failures = engine.check(urn, inputs, without_none({**case.inputs(world), **case.update(world)}))
        assert failures == []
        difference = engine.diff(urn, resource_id, inputs, changed, state)
        assert difference.changes
        assert difference.replaces == ()
        engine.update(urn, resource_id, inputs, changed, state, preview=True)
        state = engine.update(urn, resource_id, inputs, changed, state)
        assert engine.read(urn, resource_id, changed, state) == state
        inputs = changed

    wanted = case.replace(world)
    if wanted:
        given = without_none({**case.inputs(world), **wanted})
        renewed, _ = engine.check(urn, inputs, given)
        difference = engine.diff(urn, resource_id, inputs, renewed, state)
        assert difference.replaces, difference
        renewed, _ = engine.check(urn, {}, given)
        if difference.delete_before_replace:
            engine.delete(urn, resource_id, inputs, state)
        new_id, new_state = engine.create(urn, renewed)
        if not difference.delete_before_replace:
            engine.delete(urn, resource_id, inputs, state)
        assert engine.read(urn, new_id, renewed, new_state) is not None
        resource_id, inputs, state = new_id, renewed, new_state

    engine.delete(urn, resource_id, inputs, state)
    if case.loses_on_delete:
        assert engine.read(urn, resource_id, inputs, state) is None
        engine.delete(urn, resource_id, inputs, state)


@pytest.mark.parametrize("case", tokens([case for case in CASES if case.found_again]))
def test_a_killed_engines_leftover_is_adopted(case: Case, new_engine: Callable[[], Engine]) -> None:
    """The first engine dies before its state knows of the resource; the second one makes the same again."""
    first = new_engine()
    world = World(first)
    urn = urn_of(case.token, f"orphan{world.number}")
    inputs, _ = first.check(urn, {}, case.inputs(world))
    resource_id, state = first.create(urn, inputs)
    second = new_engine()
    again, _ = second.check(urn, {}, case.inputs(world))
    assert again == inputs
    adopted_id, adopted = second.create(urn, again)
    assert adopted_id == resource_id
    assert {**adopted, "version": 0} == {**state, "version": 0}
    second.delete(urn, adopted_id, again, adopted)


def test_an_update_that_rolls_machines_shows_in_the_preview(engine: Engine) -> None:
    urn = urn_of("aws:ec2/launchTemplate:LaunchTemplate", "rolls")
    inputs, _ = engine.check(urn, {}, {"imageId": AMI, "userData": user_data("one")})
    resource_id, state = engine.create(urn, inputs)
    shown = engine.update(urn, resource_id, inputs, {**inputs, "userData": user_data("two")}, state, preview=True)
    assert shown["latestVersion"] == UNKNOWN


def test_a_group_scaled_by_api_keeps_its_size_when_its_template_changes(engine: Engine, clients: Clients) -> None:
    """With `ignore_changes` the engine hands the old input on: it must not be sent."""
    world = World(engine)
    urn = urn_of("aws:autoscaling/group:Group", f"scaled{world.number}")
    inputs, _ = engine.check(
        urn,
        {},
        {
            "minSize": 0,
            "maxSize": 4,
            "desiredCapacity": 1,
            "launchTemplate": {"id": world.template, "version": "1"},
            "vpcZoneIdentifiers": [world.subnet],
        },
    )
    name, state = engine.create(urn, inputs)
    clients.get("autoscaling").set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=3)
    after = engine.update(urn, name, inputs, {**inputs, "maxSize": 5}, state)
    assert after["desiredCapacity"] == 3
    engine.delete(urn, name, inputs, state)


def test_a_resource_that_names_a_second_region_is_made_there(engine: Engine, clients: Clients) -> None:
    urn = urn_of("aws:ec2/vpc:Vpc", "outer")
    inputs, _ = engine.check(urn, {}, {"cidrBlock": "127.40.0.0/16", "region": "us-west-2"})
    vpc_id, state = engine.create(urn, inputs)
    assert state["arn"] == f"arn:aws:ec2:us-west-2:123456789012:vpc/{vpc_id}"
    assert clients.get("ec2", "us-west-2").describe_vpcs(VpcIds=[vpc_id])["Vpcs"][0]["CidrBlock"] == "127.40.0.0/16"
    engine.delete(urn, vpc_id, inputs, state)
