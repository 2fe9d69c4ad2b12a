"""Certificates are real X.509, formed as HashiCorp's provider forms them; read back with the library and verified by it."""

import ipaddress
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from local.provider.clients import Clients
from local.provider.engine import Engine
from local.provider.row import Properties
from local.provider.table import ROWS
from local.provider.tls_keys import load_key
from tests.local.provider.world import urn_of


@pytest.fixture
def engine() -> Engine:
    return Engine(ROWS, {}, Clients("http://127.0.0.1:9", "eu-central-1"))


def make(engine: Engine, kind: str, inputs: Properties) -> tuple[str, Properties]:
    return engine.create(urn_of(f"tls:index/{kind[0].lower()}{kind[1:]}:{kind}", "it"), inputs)


def key(engine: Engine) -> str:
    return str(make(engine, "PrivateKey", {"algorithm": "ECDSA", "ecdsaCurve": "P256"})[1]["privateKeyPem"])


def authority(engine: Engine, pem: str) -> Properties:
    inputs = {
        "privateKeyPem": pem,
        "subject": {"commonName": "mesh CA", "organization": "mesh"},
        "isCaCertificate": True,
        "validityPeriodHours": 24,
        "allowedUses": ["cert_signing", "crl_signing"],
    }
    return make(engine, "SelfSignedCert", inputs)[1]


def test_an_ec_key_has_the_forms_that_programs_ask_for(engine: Engine) -> None:
    resource_id, outputs = make(engine, "PrivateKey", {"algorithm": "ECDSA", "ecdsaCurve": "P256"})
    assert len(resource_id) == 40
    assert outputs["privateKeyPem"].startswith("-----BEGIN EC PRIVATE KEY-----")
    assert outputs["privateKeyPemPkcs8"].startswith("-----BEGIN PRIVATE KEY-----")
    assert outputs["publicKeyOpenssh"].startswith("ecdsa-sha2-nistp256 ")
    loaded = load_key(outputs["privateKeyPem"])
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    assert loaded.curve.name == "secp256r1"
    assert len(outputs["privateKeyPem"]) < 4096


@pytest.mark.parametrize("algorithm", ["RSA", "ED25519"])
def test_other_algorithms_sign_too(engine: Engine, algorithm: str) -> None:
    pem = make(engine, "PrivateKey", {"algorithm": algorithm})[1]["privateKeyPem"]
    assert authority(engine, pem)["keyAlgorithm"] == algorithm


def test_a_signed_certificate_carries_names_uses_and_key_ids(engine: Engine) -> None:
    ca_key, leaf_key = key(engine), key(engine)
    ca = authority(engine, ca_key)
    uri = "spiffe://dev.mesh.internal/edge/edge"
    names = {"dnsNames": ["a.internal", "*.b.internal"], "ipAddresses": ["127.20.0.9"], "uris": [uri]}
    request = make(engine, "CertRequest", {"privateKeyPem": leaf_key, "subject": {"commonName": "edge"}, **names})[1]
    serial, outputs = make(
        engine,
        "LocallySignedCert",
        {
            "certRequestPem": request["certRequestPem"],
            "caCertPem": ca["certPem"],
            "caPrivateKeyPem": ca_key,
            "validityPeriodHours": 12,
            "allowedUses": ["digital_signature", "key_encipherment", "server_auth", "client_auth"],
        },
    )
    root = x509.load_pem_x509_certificate(ca["certPem"].encode())
    leaf = x509.load_pem_x509_certificate(outputs["certPem"].encode())
    assert str(leaf.serial_number) == serial
    assert outputs["caKeyAlgorithm"] == "ECDSA"
    leaf.verify_directly_issued_by(root)
    names_found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names_found.get_values_for_type(x509.DNSName) == ["a.internal", "*.b.internal"]
    assert names_found.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.20.0.9")]
    assert names_found.get_values_for_type(x509.UniformResourceIdentifier) == [uri]
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    extended = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(extended) == [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    issuer = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert issuer.key_identifier == root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert datetime.fromisoformat(outputs["validityEndTime"]) == leaf.not_valid_after_utc
    chain = (
        PolicyBuilder().store(Store([root])).time(datetime.now(UTC)).build_server_verifier(x509.DNSName("x.b.internal")).verify(leaf, [])
    )
    assert [certificate.subject for certificate in chain] == [leaf.subject, root.subject]


def test_an_authority_is_critical_about_being_one(engine: Engine) -> None:
    root = x509.load_pem_x509_certificate(authority(engine, key(engine))["certPem"].encode())
    basic = root.extensions.get_extension_for_class(x509.BasicConstraints)
    assert basic.critical
    assert basic.value.ca
    assert root.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign


def test_the_key_must_be_the_authoritys(engine: Engine) -> None:
    ca = authority(engine, key(engine))
    request = make(engine, "CertRequest", {"privateKeyPem": key(engine)})[1]["certRequestPem"]
    inputs = {"certRequestPem": request, "caCertPem": ca["certPem"], "caPrivateKeyPem": key(engine), "validityPeriodHours": 1}
    with pytest.raises(ValueError, match="caPrivateKeyPem is not the key of caCertPem"):
        make(engine, "LocallySignedCert", inputs)


def test_an_unknown_use_is_refused(engine: Engine) -> None:
    inputs = {"allowedUses": ["server_auth", "serving"]}
    _, failures = engine.check(urn_of("tls:index/selfSignedCert:SelfSignedCert", "c"), {}, inputs)
    assert "'serving'" in failures[0].reason
