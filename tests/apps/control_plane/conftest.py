"""Certificates for the edge, self-signed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from apps.control_plane.model import TlsKeyPair


@pytest.fixture(scope="session")
def certified() -> Callable[..., TlsKeyPair]:
    def make(
        *names: str, expires: timedelta = timedelta(days=30), key: CertificateIssuerPrivateKeyTypes | None = None, sign: bool = True
    ) -> TlsKeyPair:
        """For DNS names; without `sign` the key is another one than the certificate's."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "edge")])
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=60))
            .not_valid_after(now + expires)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        certificate = builder.sign(key, hashes.SHA256())
        pem = serialization.Encoding.PEM
        shown = key if sign else ec.generate_private_key(ec.SECP256R1())
        secret = shown.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return TlsKeyPair(chain=certificate.public_bytes(pem).decode(), key=secret.decode())

    return make
