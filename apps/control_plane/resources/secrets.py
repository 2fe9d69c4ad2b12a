"""SDS secrets."""

from envoy.config.core.v3.base_pb2 import DataSource
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import CertificateValidationContext, TlsCertificate
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import GenericSecret, Secret

from apps.control_plane.model import TlsKeyPair
from apps.control_plane.resources import names


def certificate(name: str, pair: TlsKeyPair) -> Secret:
    return Secret(
        name=name,
        tls_certificate=TlsCertificate(
            certificate_chain=DataSource(inline_string=pair.chain), private_key=DataSource(inline_string=pair.key)
        ),
    )


def of_machine(directory: str) -> list[Secret]:
    """The machine's own mesh certificate and the CA of the mesh, by the names of its files: no key travels, and Envoy sees new files."""

    def file(name: str) -> DataSource:
        return DataSource(filename=f"{directory}/{name}")

    pair = TlsCertificate(certificate_chain=file("certificate.pem"), private_key=file("key.pem"))
    authority = CertificateValidationContext(trusted_ca=file("ca.pem"))
    return [Secret(name=names.MESH_CERTIFICATE, tls_certificate=pair), Secret(name=names.MESH_CA, validation_context=authority)]


def text(name: str, value: str) -> Secret:
    """A secret that is no certificate."""
    return Secret(name=name, generic_secret=GenericSecret(secret=DataSource(inline_string=value)))
