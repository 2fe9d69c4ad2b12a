"""TLS of the edge towards its clients, and between edges."""

from collections.abc import Iterable

from envoy.config.core.v3.base_pb2 import TransportSocket
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import CertificateValidationContext, SubjectAltNameMatcher, TlsParameters
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import SdsSecretConfig
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import CommonTlsContext, DownstreamTlsContext, UpstreamTlsContext
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.wrappers_pb2 import BoolValue

from apps.control_plane.resources import names
from apps.control_plane.resources.protos import over_ads, pack

_SOCKET = "envoy.transport_sockets.tls"


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
    return TransportSocket(name=_SOCKET, typed_config=pack(context))


def from_peers(spiffe_ids: Iterable[str]) -> TransportSocket:
    """Accepts machines of the mesh, of these identities alone."""
    context = DownstreamTlsContext(common_tls_context=_mutual(spiffe_ids), require_client_certificate=BoolValue(value=True))
    return TransportSocket(name=_SOCKET, typed_config=pack(context))


def to_peer(spiffe_id: str) -> TransportSocket:
    """Reaches machines of the mesh, of this identity alone."""
    return TransportSocket(name=_SOCKET, typed_config=pack(UpstreamTlsContext(common_tls_context=_mutual([spiffe_id]))))


def _mutual(spiffe_ids: Iterable[str]) -> CommonTlsContext:
    """With the machine's own certificate; TLS 1.3, since both ends are ours: its handshake is one round trip."""
    names_wanted = [
        SubjectAltNameMatcher(san_type=SubjectAltNameMatcher.URI, matcher=StringMatcher(exact=spiffe_id)) for spiffe_id in spiffe_ids
    ]
    return CommonTlsContext(
        tls_params=TlsParameters(tls_minimum_protocol_version=TlsParameters.TLSv1_3, tls_maximum_protocol_version=TlsParameters.TLSv1_3),
        tls_certificate_sds_secret_configs=[SdsSecretConfig(name=names.MESH_CERTIFICATE, sds_config=over_ads())],
        combined_validation_context=CommonTlsContext.CombinedCertificateValidationContext(
            default_validation_context=CertificateValidationContext(match_typed_subject_alt_names=names_wanted),
            validation_context_sds_secret_config=SdsSecretConfig(name=names.MESH_CA, sds_config=over_ads()),
        ),
        alpn_protocols=["h2"],
    )
