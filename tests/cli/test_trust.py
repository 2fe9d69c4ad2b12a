"""Whose certificates verbs trust at an edge, on real handshakes: by the stack's CA, by another, by SNI."""

import socketserver
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from cli.trust import Trust, authority, sni
from model.edge import CertificateSpec, EdgeSpec, TlsSpec
from tests.authority import Authority

SHOP, OLD, ADDRESS = "shop.example.com", "old.example.com", "127.0.0.1"


class _Answer(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.rfile.readline()
        self.wfile.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    context: ssl.SSLContext

    def finish_request(self, request: object, client_address: object) -> None:
        with self.context.wrap_socket(request, server_side=True) as protected:  # type: ignore[call-overload]
            super().finish_request(protected, client_address)  # type: ignore[arg-type]

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that trust nobody here are what is tested."""


@contextmanager
def edge(directory: Path, certificates: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """URL of a server that shows by SNI one of `certificates` (chain and key, PEM), by default that of the empty name."""
    contexts = {}
    for name, (chain, key) in certificates.items():
        files = directory / f"{name or 'default'}.crt", directory / f"{name or 'default'}.key"
        files[0].write_text(chain)
        files[1].write_text(key)
        contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        contexts[name].load_cert_chain(*files)

    def choose(connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = contexts.get(name or "", contexts[""])

    contexts[""].sni_callback = choose
    with _Server((ADDRESS, 0), _Answer) as server:
        server.context = contexts[""]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"https://{ADDRESS}:{server.server_address[1]}"
        server.shutdown()


def status(trust: Trust, url: str, host: str) -> int:
    with httpx.Client(verify=trust.context(url, host), trust_env=False) as client:
        return client.get(url, headers={"host": authority(url, host)}, extensions=sni(host)).status_code


def with_own(*domains: str) -> EdgeSpec:
    return EdgeSpec(tls=TlsSpec(certificates=[CertificateSpec(domains=[domain], secret=f"/team/{domain}") for domain in domains]))


def test_certificates_of_domains_are_looked_at_each(tmp_path: Path) -> None:
    stack, other = Authority(), Authority()
    shown = {
        "": stack.issue_for_address(ADDRESS),
        SHOP: other.issue(x509.DNSName("*.example.com")),
        OLD: stack.issue(x509.DNSName(OLD), left=timedelta(minutes=-1)),
    }
    with edge(tmp_path, shown) as url:
        shop, old, missing = Trust(ca=stack.pem, edge=with_own(SHOP, OLD, "www.example.com")).certificates(url)
    assert (shop.what, shop.ok) == (f"certificate of {SHOP}", True)
    assert shop.seen.startswith("for *.example.com, until ")
    assert ", not verified here: " in shop.seen
    assert (old.ok, missing.ok) == (False, False)
    assert "for no name" in missing.seen
    away = Trust(ca=stack.pem, edge=with_own(SHOP)).certificates(url)
    assert [(one.ok, one.seen.partition(":")[0]) for one in away] == [(False, "ConnectionRefusedError")]


def test_by_the_stacks_ca_an_address_and_a_domain_are_verified(tmp_path: Path) -> None:
    stack = Authority()
    with edge(tmp_path, {"": stack.issue_for_address(ADDRESS), SHOP: stack.issue(x509.DNSName(SHOP))}) as url:
        trust = Trust(ca=stack.pem, edge=EdgeSpec())
        assert trust.usual_host(url) == ""
        assert [status(trust, url, host) for host in ("", SHOP)] == [204, 204]
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            status(Trust(ca=Authority().pem, edge=EdgeSpec()), url, "")
        (verified,) = Trust(ca=stack.pem, edge=with_own(SHOP)).certificates(url)
    assert verified.seen.endswith(", verified")


def test_a_certificate_of_anothers_ca_is_trusted_as_shown_but_for_its_names_only(tmp_path: Path) -> None:
    stack, other = Authority(), Authority()
    edge_spec = EdgeSpec(tls=TlsSpec(mode="secret", secret="/team/edge-tls"))
    with edge(tmp_path, {"": other.issue(x509.DNSName("*.example.com"), x509.DNSName("example.com"))}) as url:
        trust = Trust(ca=stack.pem, edge=edge_spec)
        assert trust.usual_host(url) == "smoke.example.com"
        assert status(trust, url, "smoke.example.com") == 204
        assert [(one.what, one.ok) for one in trust.certificates(url)] == [("certificate of smoke.example.com", True)]
        with pytest.raises(httpx.ConnectError, match="Hostname mismatch"):
            status(trust, url, "shop.example.org")
