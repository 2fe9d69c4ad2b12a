"""Keys of a bench's own: a mesh CA with what it signs, and an issuer with its tokens."""

import json
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from apps.control_plane.model import TlsKeyPair

PEM = serialization.Encoding.PEM
LIFE = timedelta(hours=2)
ALGORITHM = "RS256"


class Authority:
    """A CA; keys are EC P-256, as all of the mesh's are."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench CA")])
        builder = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.pem = builder.sign(self._key, hashes.SHA256()).public_bytes(PEM).decode()

    def for_address(self, address: str) -> TlsKeyPair:
        """For a server that clients reach by its address."""
        return self._issue(x509.IPAddress(ip_address(address)))

    def write_identity(self, spiffe: str, directory: Path) -> None:
        """A machine's keys as PEM files, named as the agent names them."""
        pair = self._issue(x509.UniformResourceIdentifier(spiffe))
        directory.mkdir(parents=True)
        for name, text in (("ca", self.pem), ("certificate", pair.chain), ("key", pair.key)):
            (directory / f"{name}.pem").write_text(text)

    def _issue(self, name: x509.GeneralName) -> TlsKeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "machine")])
        builder = self._builder(subject, key).add_extension(x509.SubjectAlternativeName([name]), critical=False)
        secret = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        chain = builder.sign(self._key, hashes.SHA256()).public_bytes(PEM)
        return TlsKeyPair(chain=chain.decode(), key=secret.decode())

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - LIFE)
            .not_valid_after(now + LIFE)
        )


class Issuer:
    """Signs by RS256, which Envoy verifies fastest."""

    url = "https://login.example.com"
    audience = "mesh"

    def __init__(self) -> None:
        self._key = RSAKey.generate_key(2048, {"kid": "bench", "alg": ALGORITHM, "use": "sig"})

    @property
    def keys(self) -> str:
        """The JWK set."""
        return json.dumps(KeySet([self._key]).as_dict(private=False))

    def token(self) -> str:
        now = int(time.time())
        claims = {"iss": self.url, "aud": self.audience, "sub": "ann", "iat": now, "exp": now + int(LIFE.total_seconds())}
        claims |= {"scope": "orders.read orders.write", "name": "Ann Example", "email": "ann@example.com"}
        return jwt.encode({"alg": ALGORITHM, "kid": "bench"}, claims, self._key, algorithms=[ALGORITHM])
