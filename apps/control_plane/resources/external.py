"""Clusters for services of the user's own outside the mesh, by host and port, without TLS."""

from datetime import timedelta
from ipaddress import IPv4Address

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.address_pb2 import BindConfig
from envoy.config.core.v3.protocol_pb2 import Http1ProtocolOptions, Http2ProtocolOptions
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint, LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions
from google.protobuf.wrappers_pb2 import UInt32Value

from apps.control_plane.resources.http import windows
from apps.control_plane.resources.protos import BUFFER_BYTES, address, duration, pack

_CONNECT_TIMEOUT = timedelta(seconds=1)
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def cluster(name: str, host_and_port: str, *, http2: bool, is_local: bool) -> Cluster:
    """A name is looked up again and again, and all its addresses are used in turn."""
    host, _, port = host_and_port.rpartition(":")
    endpoint = LbEndpoint(endpoint=Endpoint(address=address(host, int(port))))
    result = Cluster(
        name=name,
        type=Cluster.STATIC if _is_address(host) else Cluster.STRICT_DNS,
        dns_lookup_family=Cluster.V4_ONLY,
        connect_timeout=duration(_CONNECT_TIMEOUT),
        per_connection_buffer_limit_bytes=UInt32Value(value=BUFFER_BYTES),
        load_assignment=ClusterLoadAssignment(cluster_name=name, endpoints=[LocalityLbEndpoints(lb_endpoints=[endpoint])]),
    )
    options = HttpProtocolOptions.ExplicitHttpConfig(http_protocol_options=Http1ProtocolOptions())
    if http2:
        http2_options: Http2ProtocolOptions = windows()
        options = HttpProtocolOptions.ExplicitHttpConfig(http2_protocol_options=http2_options)
    result.typed_extension_protocol_options[_HTTP_OPTIONS].CopyFrom(pack(HttpProtocolOptions(explicit_http_config=options)))
    if is_local and not host.startswith("127."):
        # The bootstrap's source address is one of loopback there, from which nothing outside is reached.
        result.upstream_bind_config.CopyFrom(BindConfig(source_address=address("0.0.0.0", 0).socket_address))
    return result


def _is_address(host: str) -> bool:
    try:
        IPv4Address(host)
    except ValueError:
        return False
    return True
