"""What the contract test of the rows needs: resources that others refer to, and the form of a case."""

import base64
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from local.provider.engine import Engine
from local.provider.row import Properties

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


def urn_of(token: str, name: str) -> str:
    return f"urn:pulumi:test::mesh::mesh:test:Parent${token}::{name}"
