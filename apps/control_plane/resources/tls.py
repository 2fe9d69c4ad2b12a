"""TLS of the edge towards its clients."""

from envoy.config.core.v3.base_pb2 import TransportSocket
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import TlsParameters
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import SdsSecretConfig
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import CommonTlsContext, DownstreamTlsContext

from apps.control_plane.resources.protos import over_ads, pack


def downstream(secret: str) -> TransportSocket:
    """Terminates TLS 1.2 and 1.3 with the certificate of an SDS secret; offers HTTP/2, then HTTP/1.1.

    Ciphers stay Envoy's own, which are forward-secret AEAD only.
    """
    context = DownstreamTlsContext(
        common_tls_context=CommonTlsContext(
            tls_params=TlsParameters(tls_minimum_protocol_version=TlsParameters.TLSv1_2),
            tls_certificate_sds_secret_configs=[SdsSecretConfig(name=secret, sds_config=over_ads())],
            alpn_protocols=["h2", "http/1.1"],
        )
    )
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=pack(context))
