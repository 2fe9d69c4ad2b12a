"""The bootstrap of an Envoy: who it is, how it reaches the control planes, what it answers by itself; all else comes by ADS.

The result is a template: `${MESH_*}` stands for the machine's facts, which the machine's agent fills in.
"""

from dataclasses import dataclass
from datetime import timedelta

from envoy.config.bootstrap.v3.bootstrap_pb2 import Admin, Bootstrap, ClusterManager
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.address_pb2 import BindConfig, SocketAddress
from envoy.config.core.v3.backoff_pb2 import BackoffStrategy
from envoy.config.core.v3.base_pb2 import DataSource, Locality, Node, RetryPolicy, TransportSocket
from envoy.config.core.v3.config_source_pb2 import AggregatedConfigSource, ApiConfigSource, ApiVersion, ConfigSource
from envoy.config.core.v3.grpc_service_pb2 import GrpcService
from envoy.config.core.v3.protocol_pb2 import Http2ProtocolOptions, KeepaliveSettings
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint, LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.extensions.transport_sockets.tls.v3.common_pb2 import (
    CertificateValidationContext,
    SubjectAltNameMatcher,
    TlsCertificate,
    TlsParameters,
)
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import CommonTlsContext, UpstreamTlsContext
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.wrappers_pb2 import UInt32Value

from envoy_configs import metrics, overload, statistics
from envoy_configs.protos import BUFFER_BYTES, address, duration, pack
from envoy_configs.readable import as_data, to_yaml
from model.contract import ADMIN_PORT, RUN_DIR, XDS_PORT, NodeId, Role, spiffe_id

TEMPLATE_NAME = "envoy.yaml"
"""File name of the template, and of what the agent makes of it."""
ADDRESS = "${MESH_ADDRESS}"
LOOPBACK = "${MESH_LOOPBACK}"
ZONE = "${MESH_ZONE}"
INSTANCE = "${MESH_INSTANCE_ID}"
ROOT = "${MESH_ROOT}"
TLS_DIRECTORY = f"{ROOT}{RUN_DIR}/tls"

XDS_CLUSTER = "xds"
LOCAL_CLUSTER = "mesh.local"

_CONNECT_TIMEOUT = timedelta(seconds=1)
_FAR_CONNECT_TIMEOUT = timedelta(seconds=3)
"""From another region, where a handshake of TLS may take most of a second."""
_PING_INTERVAL = timedelta(seconds=5)
_PING_TIMEOUT = timedelta(seconds=3)
_RECONNECT_FROM = timedelta(milliseconds=250)
_RECONNECT_TO = timedelta(seconds=3)
_LOCAL_CLUSTER_WAIT = timedelta(seconds=2)
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@dataclass(frozen=True, kw_only=True)
class BootstrapArgs:
    """One group's Envoys: all instances boot from the same template."""

    role: Role
    service: str
    domain: str
    control_planes: tuple[str, ...]
    """Addresses of all control planes."""
    origin: bool = False
    """Whether outer edges reach this edge."""
    public_addresses: str = ""
    """Further addresses that the machine itself holds, comma-separated or a placeholder: an edge's Elastic IP in a local stack."""


def bootstrap(args: BootstrapArgs) -> Bootstrap:
    """The bootstrap as a proto; its strings may hold placeholders. Raises ValueError without a control plane."""
    if not args.control_planes:
        raise ValueError(f"bootstrap of {args.role}/{args.service}: no control plane; give the address of at least one")
    result = Bootstrap(
        node=_node(args),
        admin=Admin(address=address(LOOPBACK, ADMIN_PORT), ignore_global_conn_limit=True),
        cluster_manager=ClusterManager(
            local_cluster_name=LOCAL_CLUSTER,
            # In a local stack all machines share one loopback interface: without it every peer would be 127.0.0.1.
            upstream_bind_config=BindConfig(source_address=SocketAddress(address=ADDRESS, port_value=0)),
        ),
        dynamic_resources=Bootstrap.DynamicResources(ads_config=_ads(), cds_config=_over_ads(), lds_config=_over_ads()),
        stats_config=statistics.config(),
        deferred_stat_options=Bootstrap.DeferredStatOptions(enable_deferred_creation_stats=True),
    )
    result.static_resources.listeners.append(metrics.listener(ADDRESS))
    result.static_resources.clusters.extend([_xds(args), _local_cluster(), metrics.admin_cluster(LOOPBACK)])
    clients = args.role in (Role.EDGE, Role.OUTER_EDGE)
    if clients:
        result.overload_manager.CopyFrom(overload.manager())
    result.layered_runtime.CopyFrom(overload.runtime(clients=clients, proxies=args.origin or not clients))
    return result


def template(args: BootstrapArgs) -> str:
    """The bootstrap as the YAML text that user data writes to the machine's templates."""
    return to_yaml(as_data(bootstrap(args)))


def envoy_arguments(*, workers: int = 1) -> list[str]:
    """Command-line arguments of the machine's Envoy. One worker balances exactly and is enough beside an app.

    Access logs are written each second instead of every ten. A listener that changes asks its open connections to end with
    their next answer: until then they keep the old filters, so a new limit or a new need for a token would not hold for them.
    """
    config = f"{ROOT}{RUN_DIR}/{TEMPLATE_NAME}"
    drain = ["--drain-strategy", "immediate"]
    return ["-c", config, "--disable-hot-restart", "--concurrency", str(workers), "--file-flush-interval-msec", "1000", *drain]


def _node(args: BootstrapArgs) -> Node:
    node = Node(id=str(NodeId(args.role, args.service, INSTANCE)), cluster=args.service, locality=Locality(zone=ZONE))
    facts = {"address": ADDRESS, "loopback": LOOPBACK, "zone": ZONE}
    if args.role in (Role.EDGE, Role.OUTER_EDGE):
        facts["tls"] = TLS_DIRECTORY
    if args.public_addresses:
        facts["addresses"] = args.public_addresses
    node.metadata.update({"mesh": facts})
    return node


def _ads() -> ApiConfigSource:
    back_off = BackoffStrategy(base_interval=duration(_RECONNECT_FROM), max_interval=duration(_RECONNECT_TO))
    service = GrpcService.EnvoyGrpc(cluster_name=XDS_CLUSTER, retry_policy=RetryPolicy(retry_back_off=back_off))
    return ApiConfigSource(
        api_type=ApiConfigSource.DELTA_GRPC,
        transport_api_version=ApiVersion.V3,
        grpc_services=[GrpcService(envoy_grpc=service)],
        set_node_on_first_message_only=True,
    )


def _over_ads(wait: timedelta | None = None) -> ConfigSource:
    source = ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)
    if wait is not None:
        source.initial_fetch_timeout.CopyFrom(duration(wait))
    return source


def _local_cluster() -> Cluster:
    """The node's own group, by which zone-aware routing knows its share of each zone."""
    return Cluster(
        name=LOCAL_CLUSTER,
        # Statistics take what stands before the first dot for the cluster's name.
        alt_stat_name=LOCAL_CLUSTER.replace(".", "-"),
        type=Cluster.EDS,
        eds_cluster_config=Cluster.EdsClusterConfig(eds_config=_over_ads(_LOCAL_CLUSTER_WAIT)),
        connect_timeout=duration(_CONNECT_TIMEOUT),
        per_connection_buffer_limit_bytes=UInt32Value(value=BUFFER_BYTES),
    )


def _xds(args: BootstrapArgs) -> Cluster:
    """All control planes; a dead one is noticed by the ping on its connection, the next stream goes to another."""
    keepalive = KeepaliveSettings(interval=duration(_PING_INTERVAL), timeout=duration(_PING_TIMEOUT))
    options = HttpProtocolOptions(
        explicit_http_config=HttpProtocolOptions.ExplicitHttpConfig(
            http2_protocol_options=Http2ProtocolOptions(connection_keepalive=keepalive)
        )
    )
    endpoints = [LbEndpoint(endpoint=Endpoint(address=address(host, XDS_PORT))) for host in args.control_planes]
    cluster = Cluster(
        name=XDS_CLUSTER,
        type=Cluster.STATIC,
        connect_timeout=duration(_FAR_CONNECT_TIMEOUT if args.role is Role.OUTER_EDGE else _CONNECT_TIMEOUT),
        per_connection_buffer_limit_bytes=UInt32Value(value=BUFFER_BYTES),
        load_assignment=ClusterLoadAssignment(cluster_name=XDS_CLUSTER, endpoints=[LocalityLbEndpoints(lb_endpoints=endpoints)]),
        transport_socket=TransportSocket(name="envoy.transport_sockets.tls", typed_config=pack(_mutual_tls(args.domain))),
    )
    cluster.typed_extension_protocol_options[_HTTP_OPTIONS].CopyFrom(pack(options))
    return cluster


def _mutual_tls(domain: str) -> UpstreamTlsContext:
    server = spiffe_id(domain, Role.CONTROL_PLANE, Role.CONTROL_PLANE)
    return UpstreamTlsContext(
        common_tls_context=CommonTlsContext(
            tls_params=TlsParameters(tls_minimum_protocol_version=TlsParameters.TLSv1_2),
            tls_certificates=[TlsCertificate(certificate_chain=_key_file("certificate.pem"), private_key=_key_file("key.pem"))],
            validation_context=CertificateValidationContext(
                trusted_ca=_key_file("ca.pem"),
                match_typed_subject_alt_names=[
                    SubjectAltNameMatcher(san_type=SubjectAltNameMatcher.URI, matcher=StringMatcher(exact=server))
                ],
            ),
            alpn_protocols=["h2"],
        )
    )


def _key_file(name: str) -> DataSource:
    return DataSource(filename=f"{TLS_DIRECTORY}/{name}")
