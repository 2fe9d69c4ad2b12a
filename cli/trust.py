"""Whom verbs trust at edges: the stack's CA, and where a certificate is not of it, the one that is shown."""

import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
from cryptography import x509

from cli.finding import Finding
from model.edge import EdgeSpec
from model.edge_certificates import is_for, named_domains

TIMEOUT_SECONDS = 15.0
HTTPS_PORT = 443


def authority(url: str, host: str) -> str:
    """What a client writes as `Host` that asks an edge as `host`, or by its address where that is empty."""
    place = httpx.URL(url)
    return f"{host or place.host}:{place.port}" if place.port else host or place.host


def sni(host: str) -> dict[str, str]:
    """The extension with which httpx names the host in the TLS handshake, where its URL has the edge's address."""
    return {"sni_hostname": host} if host else {}


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What a client of the stack may trust; names are checked in any case."""

    ca: str
    """The stack's CA, PEM."""
    edge: EdgeSpec

    def context(self, url: str, host: str) -> ssl.SSLContext:
        """A new context for connections to an edge as `host`, or by its address where that is empty."""
        if self._is_own(host) or not (shown := self._shown(url, host)):
            return ssl.create_default_context(cadata=self.ca)
        # Its CA may be known to the stack's owner alone; whether it is known here is said by the certificate's own finding.
        context = ssl.create_default_context(cadata=shown)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return context

    def usual_host(self, url: str) -> str:
        """As whom to ask for what is there for all hosts: nobody where the stack's CA signs addresses, else a name of the certificate."""
        if self._is_own("") or not (shown := self._shown(url, "")):
            return ""
        return next((name.replace("*", "smoke") for name in _names(x509.load_der_x509_certificate(shown))), "")

    def certificates(self, url: str) -> list[Finding]:
        """What is shown to clients of each domain that has a certificate of its own, and to others where that is not of the stack's CA."""
        usual = self.usual_host(url)
        issued = self.edge.tls.acme.domains if self.edge.tls.acme else []
        domains = dict.fromkeys([*([usual] if usual else []), *issued, *self._named()])
        return [self._certificate(url, domain) for domain in domains]

    def _certificate(self, url: str, domain: str) -> Finding:
        what, expected = f"certificate of {domain}", f"for {domain}, valid"
        try:
            shown = _handshake(url, domain, _blind())
        except OSError as error:
            return Finding(edge=url, what=what, expected=expected, seen=f"{type(error).__name__}: {error}".rstrip(": "), ok=False)
        certificate = x509.load_der_x509_certificate(shown)
        names, ends = _names(certificate), certificate.not_valid_after_utc
        valid = certificate.not_valid_before_utc <= datetime.now(UTC) < ends
        seen = f"for {', '.join(names) or 'no name'}, until {ends:%Y-%m-%d}, {self._verified(url, domain)}"
        return Finding(edge=url, what=what, expected=expected, seen=seen, ok=valid and any(is_for(name, domain) for name in names))

    def _verified(self, url: str, domain: str) -> str:
        try:
            _handshake(url, domain, self._known())
        except ssl.SSLCertVerificationError as error:
            return f"not verified here: {error.verify_message}"
        except OSError as error:
            return f"not verified here: {type(error).__name__}"
        return "verified"

    def _shown(self, url: str, host: str) -> bytes:
        """The certificate, DER; nothing where no connection is made, which the requests will say."""
        try:
            return _handshake(url, host, _blind())
        except OSError:
            return b""

    def _is_own(self, host: str) -> bool:
        return self.edge.tls.mode == "self-signed" and host not in self._named()

    def _named(self) -> list[str]:
        """Domains with a certificate of their own."""
        return [domain for domains in named_domains(self.edge).values() for domain in domains]

    def _known(self) -> ssl.SSLContext:
        """Trusts the stack's CA and those of this machine."""
        context = ssl.create_default_context()
        context.load_verify_locations(cadata=self.ca)
        return context


def _handshake(url: str, host: str, context: ssl.SSLContext) -> bytes:
    """The certificate that the edge shows, DER."""
    place = httpx.URL(url)
    with (
        socket.create_connection((place.host, place.port or HTTPS_PORT), TIMEOUT_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=host or place.host) as protected,
    ):
        return protected.getpeercert(binary_form=True) or b""


def _blind() -> ssl.SSLContext:
    """Takes any certificate: to look at it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return found.value.get_values_for_type(x509.DNSName)
