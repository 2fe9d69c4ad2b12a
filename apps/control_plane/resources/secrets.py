"""SDS secrets."""

from envoy.config.core.v3.base_pb2 import DataSource
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import TlsCertificate
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import GenericSecret, Secret

from apps.control_plane.model import TlsKeyPair


def certificate(name: str, pair: TlsKeyPair) -> Secret:
    return Secret(
        name=name,
        tls_certificate=TlsCertificate(
            certificate_chain=DataSource(inline_string=pair.chain), private_key=DataSource(inline_string=pair.key)
        ),
    )


def text(name: str, value: str) -> Secret:
    """A secret that is no certificate."""
    return Secret(name=name, generic_secret=GenericSecret(secret=DataSource(inline_string=value)))
