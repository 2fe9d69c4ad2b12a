"""The edge's certificates as they were read: which are good, and until when.

One whose key does not match, that lacks a domain of the config, or that has expired is refused: the last good one stands.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from apps.control_plane.metrics import Metrics
from apps.control_plane.model import TlsKeyPair
from model.edge_certificates import DEFAULT, domains_of, is_for, paths_of
from model.spec import MeshSpec

SMALLEST_RSA = 2048
CURVES = ("secp256r1", "secp384r1", "secp521r1")

log = structlog.get_logger()


class CertificateRefused(ValueError):
    """A pair that is not shown to clients; `reason` is one word for the metric."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def read_certificate(pair: TlsKeyPair, domains: list[str]) -> x509.Certificate:
    """The first certificate of the chain; raises CertificateRefused when the pair is not one for all `domains`."""
    try:
        first = x509.load_pem_x509_certificates(pair.chain.encode())[0]
    except ValueError as error:
        raise CertificateRefused("unreadable", f"the chain is not PEM: {error}") from None
    try:
        key = load_pem_private_key(pair.key.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CertificateRefused("unreadable", "the key is not PEM without a passphrase") from None
    if key.public_key() != first.public_key():
        raise CertificateRefused("key", "the key is not that of the chain's first certificate; the leaf comes first")
    if not (isinstance(key, RSAPrivateKey) and key.key_size >= SMALLEST_RSA) and not (
        isinstance(key, EllipticCurvePrivateKey) and key.curve.name in CURVES
    ):
        raise CertificateRefused("algorithm", f"Envoy takes keys of RSA from {SMALLEST_RSA} bits and of ECDSA on {', '.join(CURVES)}")
    names = _dns_names(first)
    missing = [domain for domain in domains if not any(is_for(name, domain) for name in names)]
    if missing:
        raise CertificateRefused("domains", f"the certificate is for {', '.join(names) or 'no DNS name'}, not for {', '.join(missing)}")
    if first.not_valid_after_utc <= datetime.now(UTC):
        raise CertificateRefused("expired", f"the certificate has expired at {first.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    return first


class EdgeCertificates:
    """The newest pair of each SSM path and the last good one of each name; which are wanted changes with the config."""

    def __init__(self, *, stack: str, metrics: Metrics) -> None:
        self._stack = stack
        self._metrics = metrics
        self._newest: dict[str, TlsKeyPair] = {}
        self._good: dict[str, TlsKeyPair] = {}
        self._judged: dict[str, tuple[TlsKeyPair, list[str]]] = {}

    @property
    def default(self) -> TlsKeyPair | None:
        return self._good.get(DEFAULT)

    def named(self, spec: MeshSpec) -> Mapping[str, TlsKeyPair]:
        """The good ones that the config chooses by SNI."""
        return {name: pair for name, pair in self._good.items() if name != DEFAULT and name in domains_of(spec)}

    def hear(self, path: str, pair: TlsKeyPair) -> None:
        """Takes what was read; `review` judges it."""
        self._newest[path] = pair

    def review(self, spec: MeshSpec) -> bool:
        """Judges what is new by the config; True when another pair is good now."""
        wanted, before, paths = domains_of(spec), dict(self._good), paths_of(spec, stack=self._stack)
        for gone in self._judged.keys() - wanted.keys():
            del self._judged[gone]
            for gauge in (self._metrics.certificate_expiry, self._metrics.certificate_refused):
                gauge.remove(gone)
        for name, domains in wanted.items():
            pair = self._newest.get(paths[name])
            if pair and self._judged.get(name) != (pair, domains):
                self._judged[name] = (pair, domains)
                self._judge(name, pair, domains)
        return self._good != before

    def _judge(self, name: str, pair: TlsKeyPair, domains: list[str]) -> None:
        try:
            certificate = read_certificate(pair, domains)
        except CertificateRefused as refused:
            self._metrics.certificates_refused.labels(name, refused.reason).inc()
            self._metrics.certificate_refused.labels(name).set(1)
            stands = "the last good one stands" if name in self._good else "there is none to stand in for it"
            log.error(f"certificate of the edge refused; {stands}", certificate=name, reason=refused.reason, text=str(refused))
            return
        self._good[name] = pair
        self._metrics.certificate_refused.labels(name).set(0)
        self._metrics.certificate_expiry.labels(name).set(certificate.not_valid_after_utc.timestamp())
        until = certificate.not_valid_after_utc.isoformat()
        log.info("certificate of the edge", certificate=name, serial=f"{certificate.serial_number:x}", until=until)


def _dns_names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [name.lower() for name in names.get_values_for_type(x509.DNSName)]
