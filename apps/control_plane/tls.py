"""Mutual TLS of the xDS server: who may connect, and who a client is."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ALPN_HTTP2 = "h2"
SPIFFE_SCHEME = "spiffe://"


@dataclass(frozen=True, kw_only=True)
class ServerTls:
    """PEM files: the server's certificate and key, and the CA that clients' certificates must come from."""

    ca: Path
    certificate: Path
    key: Path

    def context(self, on_refused: Callable[[str], None]) -> ssl.SSLContext:
        """A context that demands a client certificate; `on_refused` hears why a handshake failed, which asyncio tells nobody."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cafile=str(self.ca))
        context.load_cert_chain(str(self.certificate), str(self.key))
        context.set_alpn_protocols([ALPN_HTTP2])

        class Handshake(ssl.SSLObject):
            """Reports failures."""

            def do_handshake(self) -> None:
                try:
                    super().do_handshake()
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    raise
                except ssl.SSLError as error:
                    on_refused(getattr(error, "verify_message", "") or error.reason or "unknown")
                    raise

        context.sslobject_class = Handshake
        return context


def spiffe_id_of(certificate: dict[str, Any] | None) -> str | None:
    """The SPIFFE id in a verified peer certificate; None without one, or with several URI names, which SPIFFE forbids."""
    names = (certificate or {}).get("subjectAltName", ())
    uris = [value for kind, value in names if kind == "URI"]
    return uris[0] if len(uris) == 1 and uris[0].startswith(SPIFFE_SCHEME) else None
