"""What moto holds of the bucket, the certificates, the passwords, the images and the names."""

import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from model.contract import Role, ca_parameter, database_secret, edge_tls_parameter, tls_parameter
from model.read import read_mesh

pytestmark = pytest.mark.components

SSM_STANDARD_BYTES = 4096


class TestBucket:
    @pytest.fixture(scope="class")
    def s3(self, deployment: Any) -> Any:
        return deployment.client("s3")

    @pytest.fixture(scope="class")
    def bucket(self, deployment: Any) -> str:
        return str(deployment.id_of("aws:s3/bucket:Bucket", "document-bucket"))

    def test_the_document_is_the_mesh_of_the_config(self, s3: Any, bucket: str, configs: Any) -> None:
        document = json.loads(s3.get_object(Bucket=bucket, Key="documents/mesh.json")["Body"].read())
        assert (document["schema"], document["stack"], document["region"]) == (1, "dev", "eu-central-1")
        assert read_mesh(document["mesh"]) == read_mesh(configs("dev")["envoy-mesh:mesh"])

    def test_it_keeps_versions_and_encrypts(self, s3: Any, bucket: str) -> None:
        assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"

    def test_it_is_closed_to_the_public_and_to_plain_http(self, s3: Any, bucket: str) -> None:
        assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
        (statement,) = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


class TestCertificates:
    @pytest.fixture(scope="class")
    def parameters(self, deployment: Any) -> dict[str, str]:
        pages = deployment.client("ssm").get_paginator("get_parameters_by_path")
        found = pages.paginate(Path="/envoy-mesh/dev", Recursive=True, WithDecryption=True)
        items = [item for page in found for item in page["Parameters"]]
        assert {item["Type"] for item in items} == {"SecureString"}
        return {item["Name"]: item["Value"] for item in items}

    def certificate(self, parameters: dict[str, str], name: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate(parameters[name].encode())

    def names(self, certificate: x509.Certificate) -> x509.SubjectAlternativeName:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    @pytest.mark.parametrize(
        ("role", "service"),
        [(Role.EDGE, "edge"), (Role.SERVICE, "service-1"), (Role.DATABASE, "postgres"), (Role.CONTROL_PLANE, "control-plane")],
    )
    def test_a_machines_only_name_is_its_spiffe_id(self, parameters: dict[str, str], role: Role, service: str) -> None:
        certificate = self.certificate(parameters, tls_parameter("dev", role, service, "certificate"))
        assert self.names(certificate).get_values_for_type(x509.UniformResourceIdentifier) == [
            f"spiffe://dev.mesh.internal/{role}/{service}"
        ]
        assert len(list(self.names(certificate))) == 1
        certificate.verify_directly_issued_by(self.certificate(parameters, ca_parameter("dev")))

    def test_each_certificate_is_renewed_while_it_is_good_for_months(self, deployment: Any) -> None:
        signed = deployment.program.of("tls:index/locallySignedCert:LocallySignedCert")
        assert {(one.inputs["validityPeriodHours"], one.inputs["earlyRenewalHours"]) for one in signed} == {(365 * 24, 90 * 24)}

    def test_keys_are_p256_and_belong_to_their_certificates(self, parameters: dict[str, str]) -> None:
        keys = {name: value for name, value in parameters.items() if name.endswith("/key")}
        assert len(keys) == 7
        for name, text in keys.items():
            key = load_pem_private_key(text.encode(), None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            assert isinstance(key.curve, ec.SECP256R1)
            assert self.certificate(parameters, name.removesuffix("key") + "certificate").public_key() == key.public_key()

    def test_every_value_fits_into_a_standard_parameter(self, parameters: dict[str, str]) -> None:
        assert max(len(value.encode()) for value in parameters.values()) <= SSM_STANDARD_BYTES

    def test_the_edge_shows_its_domain_and_its_addresses(self, parameters: dict[str, str], deployment: Any) -> None:
        certificate = self.certificate(parameters, edge_tls_parameter("dev", "certificate"))
        assert self.names(certificate).get_values_for_type(x509.DNSName) == ["dev.mesh.internal", "*.dev.mesh.internal"]
        addresses = {str(address) for address in self.names(certificate).get_values_for_type(x509.IPAddress)}
        assert addresses == set(deployment.program.stack_outputs["edgeAddresses"])

    def test_clients_of_the_edge_trust_another_ca_than_machines(self, parameters: dict[str, str], deployment: Any) -> None:
        output = deployment.program.stack_outputs["caCertificate"]
        edge_ca = x509.load_pem_x509_certificate(output.encode())
        self.certificate(parameters, edge_tls_parameter("dev", "certificate")).verify_directly_issued_by(edge_ca)
        assert edge_ca.public_key() != self.certificate(parameters, ca_parameter("dev")).public_key()
        usage = edge_ca.extensions.get_extension_for_class(x509.BasicConstraints).value
        assert usage.ca


def test_each_caller_of_the_database_has_a_password_of_its_own(deployment: Any) -> None:
    client = deployment.client("secretsmanager")
    passwords = {
        user: client.get_secret_value(SecretId=database_secret("dev", user))["SecretString"]
        for user in ("postgres", "service-1", "service-2", "grpc-1")
    }
    assert len(set(passwords.values())) == 4
    assert all(len(password) == 32 and password.isalnum() for password in passwords.values())


def test_there_is_a_repository_per_image_of_ours(deployment: Any) -> None:
    repositories = deployment.client("ecr").describe_repositories()["repositories"]
    assert len(repositories) == 5
    assert all(repository["imageScanningConfiguration"]["scanOnPush"] for repository in repositories)


def test_two_services_of_one_directory_share_its_image(deployment: Any) -> None:
    assert {image.name for image in deployment.program.of("docker:index/image:Image")} == {
        "image-agent",
        "image-control-plane",
        "image-grpc-service",
        "image-http-service",
        "image-identity",
    }


def test_fixed_machines_have_names_in_the_private_zone(deployment: Any) -> None:
    route53 = deployment.client("route53")
    zone = route53.get_hosted_zone(Id=deployment.id_of("aws:route53/zone:Zone", "dns-zone"))["HostedZone"]
    assert zone["Name"] == "dev.mesh.internal."
    assert zone["Config"]["PrivateZone"]
    records = {
        record["Name"]: sorted(value["Value"] for value in record["ResourceRecords"])
        for record in route53.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
        if record["Type"] == "A"
    }
    assert records == {
        "control-plane.dev.mesh.internal.": ["10.20.24.4", "10.20.56.4"],
        "identity.dev.mesh.internal.": ["10.20.56.11"],
        "monitoring.dev.mesh.internal.": ["10.20.56.13"],
        "postgres.dev.mesh.internal.": ["10.20.24.12"],
    }


def test_security_groups_hold_the_rules_and_no_default_way_out(deployment: Any) -> None:
    ec2 = deployment.client("ec2")
    vpc = deployment.program.stack_outputs["vpcId"]
    for group in ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"]:
        if group["GroupName"] != "default":
            assert not [rule for rule in group["IpPermissionsEgress"] if rule["IpProtocol"] == "-1"]
