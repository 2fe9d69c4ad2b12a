"""A CA for tests, which issues what a stack's Pulumi program would."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from model import contract
from model.contract import Role, spiffe_id

PEM = serialization.Encoding.PEM
LIFE = timedelta(hours=1)


class Authority:
    """The CA of a mesh."""

    def __init__(self, domain: str = "dev.mesh.internal") -> None:
        self._domain = domain
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mesh CA")])
        builder = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.pem = builder.sign(self._key, hashes.SHA256()).public_bytes(PEM).decode()

    def issue(self, *names: x509.GeneralName, left: timedelta = LIFE) -> tuple[str, str]:
        """Certificate and key, PEM; `left` is how long it is good from now, negative for one that has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "machine")])
        builder = self._builder(subject, key, left=left).add_extension(x509.SubjectAlternativeName(names), critical=False)
        secret = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return builder.sign(self._key, hashes.SHA256()).public_bytes(PEM).decode(), secret.decode()

    def issue_for_address(self, *addresses: str) -> tuple[str, str]:
        """For edges that clients reach by their addresses."""
        return self.issue(*(x509.IPAddress(ip_address(address)) for address in addresses))

    def issue_for_machine(self, role: Role, service: str) -> tuple[str, str]:
        """For a machine towards others of the mesh."""
        return self.issue(x509.UniformResourceIdentifier(spiffe_id(self._domain, role, service)))

    def write_identity(self, root: Path, role: Role, service: str, *, issuer: "Authority | None" = None) -> Path:
        """A machine's keys, where the agent would put them; `issuer` is another CA than the one that the machine trusts."""
        chain, key = (issuer or self).issue_for_machine(role, service)
        directory = root / contract.RUN_DIR.lstrip("/") / "tls"
        directory.mkdir(parents=True)
        for name, text in (("ca", self.pem), ("certificate", chain), ("key", key)):
            (directory / f"{name}.pem").write_text(text)
        return directory

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, left: timedelta = LIFE) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - LIFE)
            .not_valid_after(now + left)
        )
