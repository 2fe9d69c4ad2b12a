"""Where the tokens' issuer is: its endpoints and the clusters by which the edge reaches them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address
from urllib.parse import SplitResult, urlsplit

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.address_pb2 import BindConfig
from envoy.config.core.v3.base_pb2 import DataSource, TransportSocket
from envoy.config.core.v3.http_uri_pb2 import HttpUri
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint, LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import CertificateValidationContext, SubjectAltNameMatcher, TlsParameters
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import CommonTlsContext, UpstreamTlsContext
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.wrappers_pb2 import UInt32Value

from apps.control_plane.model import World
from apps.control_plane.resources import names
from apps.control_plane.resources.protos import BUFFER_BYTES, address, duration, pack
from model.identity import is_builtin, issuer_url

SYSTEM_CAS = "/etc/ssl/certs/ca-certificates.crt"
"""Certificate authorities of the machine (Debian, Ubuntu, and Envoy's own image)."""
FETCH_TIMEOUT = timedelta(seconds=5)

UNKNOWN = "http://unknown.invalid/keys"
"""In place of keys nobody has told of yet: a cluster without a host, so every token fails and nothing passes."""

_CONNECT_TIMEOUT = timedelta(seconds=2)


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """URLs of an issuer; the last three are empty while they are not known."""

    issuer: str
    jwks: str
    authorization: str = ""
    token: str = ""
    end_session: str = ""


def endpoints_of(world: World) -> Endpoints | None:
    """What the config writes out, else what the issuer's discovery document said; None where the edge has no `auth`."""
    auth = world.spec.edge.auth
    if auth is None:
        return None
    if is_builtin(world.spec):
        url, inside = issuer_url(world.spec), f"http://{names.IDENTITY}"
        # Envoy wants a whole URL of the login page; `identity` takes the host off again.
        return Endpoints(issuer=url, jwks=f"{inside}/jwks", authorization=f"{url}/authorize", token=f"{inside}/token")
    found = world.issuer if world.issuer and world.issuer.issuer == auth.issuer else None
    return Endpoints(
        issuer=auth.issuer,
        jwks=auth.jwks or (found.jwks_uri if found else UNKNOWN),
        authorization=auth.authorization_endpoint or (found.authorization_endpoint if found else ""),
        token=auth.token_endpoint or (found.token_endpoint if found else ""),
        end_session=found.end_session_endpoint if found else "",
    )


def uri(url: str) -> HttpUri:
    """`url` for a filter that fetches it."""
    return HttpUri(uri=url, cluster=cluster_name(url), timeout=duration(FETCH_TIMEOUT))


def cluster_name(url: str) -> str:
    """One cluster per host and port; dots would end the name in statistics."""
    parts = urlsplit(url)
    if parts.hostname == names.IDENTITY:
        return names.IDENTITY
    return f"issuer-{parts.hostname}-{_port(parts)}".replace(".", "-")


def clusters(urls: Iterable[str], *, is_local: bool) -> list[Cluster]:
    """The clusters of all URLs of an issuer outside, each once."""
    outside = {cluster_name(url): url for url in urls if url and cluster_name(url) != names.IDENTITY}
    return [_cluster(url, is_local=is_local) for url in outside.values()]


def _cluster(url: str, *, is_local: bool) -> Cluster:
    parts, name = urlsplit(url), cluster_name(url)
    host = parts.hostname or ""
    hosts = [] if url == UNKNOWN else [LbEndpoint(endpoint=Endpoint(address=address(host, _port(parts))))]
    cluster = Cluster(
        name=name,
        type=Cluster.STATIC if not hosts or _is_address(host) else Cluster.LOGICAL_DNS,
        dns_lookup_family=Cluster.V4_ONLY,
        connect_timeout=duration(_CONNECT_TIMEOUT),
        per_connection_buffer_limit_bytes=UInt32Value(value=BUFFER_BYTES),
        load_assignment=ClusterLoadAssignment(cluster_name=name, endpoints=[LocalityLbEndpoints(lb_endpoints=hosts)]),
    )
    if parts.scheme == "https":
        cluster.transport_socket.CopyFrom(_verified(host))
    if is_local and not host.startswith("127."):
        # The bootstrap's source address is one of loopback there, from which nothing outside is reached.
        cluster.upstream_bind_config.CopyFrom(BindConfig(source_address=address("0.0.0.0", 0).socket_address))
    return cluster


def _verified(host: str) -> TransportSocket:
    san = SubjectAltNameMatcher.IP_ADDRESS if _is_address(host) else SubjectAltNameMatcher.DNS
    context = UpstreamTlsContext(
        common_tls_context=CommonTlsContext(
            tls_params=TlsParameters(tls_minimum_protocol_version=TlsParameters.TLSv1_2),
            validation_context=CertificateValidationContext(
                trusted_ca=DataSource(filename=SYSTEM_CAS),
                match_typed_subject_alt_names=[SubjectAltNameMatcher(san_type=san, matcher=StringMatcher(exact=host))],
            ),
        ),
        sni="" if _is_address(host) else host,
    )
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=pack(context))


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _is_address(host: str) -> bool:
    try:
        IPv4Address(host)
    except ValueError:
        return False
    return True
