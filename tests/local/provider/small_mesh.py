"""A small stack of aws, tls and random for the real engine."""

from collections.abc import Callable
from pathlib import Path

import pulumi
import pulumi_aws as aws
import pulumi_random as random
import pulumi_tls as tls
from pulumi import automation as auto

from cli.engine import backend_url
from tests.local.provider.world import TRUST

REGION = "eu-central-1"
RESOURCES = 16
"""Of `small_mesh`, with the stack itself."""


def open_stack(program: Callable[[], None], port: str, directory: Path, name: str) -> auto.Stack:
    environment = {
        "PULUMI_CONFIG_PASSPHRASE": "",
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_DEBUG_PROVIDERS": f"aws:{port},tls:{port},random:{port}",
    }
    project = auto.ProjectSettings(name=name, runtime="python", backend=auto.ProjectBackend(url=backend_url(directory)))
    # Without these, a directory of the host's own for each stack, and notes in the user's ~/.pulumi, are never removed.
    work_dir, pulumi_home = directory / "workspace", directory / "pulumi-home"
    work_dir.mkdir(exist_ok=True)
    options = auto.LocalWorkspaceOptions(
        work_dir=str(work_dir),
        pulumi_home=str(pulumi_home),
        project_settings=project,
        secrets_provider="passphrase",
        env_vars=environment,
    )
    stack = auto.create_or_select_stack("test", program=program, project_name=name, opts=options)
    stack.set_config("aws:region", auto.ConfigValue(REGION))
    return stack


def small_mesh(instance_type: str, route: str) -> Callable[[], None]:
    def program() -> None:
        zones = aws.get_availability_zones(state="available")
        vpc = aws.ec2.Vpc("mesh", cidr_block="127.50.0.0/16", tags={"mesh:stack": "test"})
        subnets = [
            aws.ec2.Subnet(f"mesh-{i}", vpc_id=vpc.id, cidr_block=f"127.50.{i}.0/24", availability_zone=zones.names[i]) for i in range(2)
        ]
        group = aws.ec2.SecurityGroup("service", vpc_id=vpc.id)
        aws.vpc.SecurityGroupIngressRule(
            "ingress", security_group_id=group.id, ip_protocol="tcp", from_port=8000, to_port=8000, referenced_security_group_id=group.id
        )
        role = aws.iam.Role("service", assume_role_policy=TRUST)
        profile = aws.iam.InstanceProfile("service", role=role.name)
        template = aws.ec2.LaunchTemplate(
            "service",
            image_id="ami-12c6146b",
            instance_type=instance_type,
            vpc_security_group_ids=[group.id],
            iam_instance_profile={"name": profile.name},
        )
        machines = aws.autoscaling.Group(
            "service",
            min_size=1,
            max_size=3,
            desired_capacity=1,
            vpc_zone_identifiers=[subnet.id for subnet in subnets],
            launch_template={"id": template.id, "version": template.latest_version.apply(str)},
            opts=pulumi.ResourceOptions(ignore_changes=["desired_capacity"]),
        )
        bucket = aws.s3.Bucket("mesh", force_destroy=True)
        document = aws.s3.BucketObjectv2("document", bucket=bucket.bucket, key="documents/mesh.json", content=route)
        key = tls.PrivateKey("ca", algorithm="ECDSA", ecdsa_curve="P256")
        authority = tls.SelfSignedCert(
            "ca",
            private_key_pem=key.private_key_pem,
            is_ca_certificate=True,
            validity_period_hours=24,
            allowed_uses=["cert_signing"],
            subject={"common_name": "ca"},
        )
        password = random.RandomPassword("database", length=24, special=False)
        aws.ssm.Parameter("ca", name=f"/envoy-mesh/{pulumi.get_project()}/ca", type="SecureString", value=key.private_key_pem)
        pulumi.export("vpc", vpc.arn)
        pulumi.export("group", machines.name)
        pulumi.export("ca", authority.cert_pem)
        pulumi.export("password", password.result)
        pulumi.export("etag", document.etag)

    return program
