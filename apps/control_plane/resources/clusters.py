"""Clusters: one for each service that a node may call, `app` for the program beside it, and an outer edge's `origin`."""

from datetime import timedelta

from envoy.config.cluster.v3.circuit_breaker_pb2 import CircuitBreakers
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.health_check_pb2 import HealthCheck
from envoy.config.core.v3.protocol_pb2 import Http1ProtocolOptions, HttpProtocolOptions, KeepaliveSettings
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint, LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions as Upstream
from envoy.type.v3.percent_pb2 import Percent
from google.protobuf.wrappers_pb2 import UInt32Value, UInt64Value

from apps.control_plane.resources import health, names, tls
from apps.control_plane.resources.http import far_apart, windows
from apps.control_plane.resources.origin import HEALTH_PATH
from apps.control_plane.resources.protos import BUFFER_BYTES, address, duration, over_ads, pack
from model.contract import Role, spiffe_id
from model.spec import ServiceSpec

IDENTITY_HEALTH = "/health"
ZONE_AWARE_FROM = 6
"""Hosts from which on a caller prefers its own zone; smaller groups are plain round robin."""

_CONNECT_TIMEOUT = timedelta(seconds=1)
_FAR_CONNECT_TIMEOUT = timedelta(seconds=3)
_MOST_FORWARDED = 100_000
_PRECONNECT = 2.0
_NEVER = timedelta(0)
_MERGE_WINDOW = timedelta(milliseconds=100)
"""Envoy's default holds back changes of health and draining for up to a second."""
_RETRIES_AT_ONCE = 1024
"""Envoy's default of 3 fails what a dead host had in flight beyond three requests."""
_PING_INTERVAL = timedelta(seconds=5)
_PING_TIMEOUT = timedelta(seconds=3)
_APP_IDLE_TIMEOUT = timedelta(seconds=1)
"""Shorter than any server's keep-alive (gunicorn 2 s, uvicorn 5 s), so a request never meets a connection being closed."""

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def of_service(name: str, service: ServiceSpec) -> Cluster:
    """The service's sidecars, by EDS: HTTP/2 for HTTP and gRPC alike, so that connections are few and streams many."""
    cluster = _discovered(name, health.check_of(name, service))
    if service.protocol == "tcp":
        cluster.close_connections_on_host_health_failure = True
    else:
        cluster.typed_extension_protocol_options[_HTTP_OPTIONS].CopyFrom(pack(_http2()))
    if service.protocol == "grpc":
        cluster.outlier_detection.CopyFrom(health.outliers_by_connection())
    return cluster


def of_database() -> Cluster:
    """The database's sidecar, by EDS."""
    cluster = _discovered(names.POSTGRES, health.tcp())
    cluster.close_connections_on_host_health_failure = True
    return cluster


def of_identity() -> Cluster:
    """The built-in token issuer, by EDS; it has no sidecar and speaks HTTP/1.1."""
    cluster = _discovered(names.IDENTITY, health.plain_http(names.IDENTITY, IDENTITY_HEALTH))
    cluster.typed_extension_protocol_options[_HTTP_OPTIONS].CopyFrom(pack(_http1()))
    return cluster


def of_origin(domain: str) -> Cluster:
    """The mesh's own edges as an outer one reaches them, in another region; connections stay, and the next is made early.

    All of an outer edge's clients go through it, WebSockets too: what bounds them is the overload manager.
    """
    cluster = _discovered(names.ORIGIN, health.of_origin(HEALTH_PATH))
    cluster.transport_socket.CopyFrom(tls.to_peer(spiffe_id(domain, Role.EDGE, names.EDGE)))
    cluster.connect_timeout.CopyFrom(duration(_FAR_CONNECT_TIMEOUT))
    cluster.outlier_detection.CopyFrom(health.outliers_by_connection())
    most = UInt32Value(value=_MOST_FORWARDED)
    cluster.circuit_breakers.thresholds[0].max_requests.CopyFrom(most)
    cluster.circuit_breakers.thresholds[0].max_pending_requests.CopyFrom(most)
    cluster.preconnect_policy.per_upstream_preconnect_ratio.value = _PRECONNECT
    options = Upstream(
        common_http_protocol_options=HttpProtocolOptions(idle_timeout=duration(_NEVER)),
        explicit_http_config=Upstream.ExplicitHttpConfig(http2_protocol_options=far_apart()),
    )
    cluster.typed_extension_protocol_options[_HTTP_OPTIONS].CopyFrom(pack(options))
    return cluster


def of_app(loopback: str, port: int, protocol: str) -> Cluster:
    """The program beside the Envoy; `protocol` is the service's, or `tcp`."""
    endpoint = LbEndpoint(endpoint=Endpoint(address=address(loopback, port)))
    cluster = Cluster(
        name=names.APP,
        type=Cluster.STATIC,
        connect_timeout=duration(_CONNECT_TIMEOUT),
        per_connection_buffer_limit_bytes=UInt32Value(value=BUFFER_BYTES),
        circuit_breakers=_breakers(),
        load_assignment=ClusterLoadAssignment(cluster_name=names.APP, endpoints=[LocalityLbEndpoints(lb_endpoints=[endpoint])]),
    )
    if protocol == "http":
        cluster.typed_extension_protocol_options[_HTTP_OPTIONS].CopyFrom(pack(_http1()))
    elif protocol == "grpc":
        cluster.typed_extension_protocol_options[_HTTP_OPTIONS].CopyFrom(pack(_http2()))
    return cluster


def _discovered(name: str, check: HealthCheck) -> Cluster:
    return Cluster(
        name=name,
        type=Cluster.EDS,
        eds_cluster_config=Cluster.EdsClusterConfig(eds_config=over_ads()),
        connect_timeout=duration(_CONNECT_TIMEOUT),
        per_connection_buffer_limit_bytes=UInt32Value(value=BUFFER_BYTES),
        lb_policy=Cluster.ROUND_ROBIN,
        health_checks=[check],
        outlier_detection=health.outliers(),
        circuit_breakers=_breakers(),
        common_lb_config=Cluster.CommonLbConfig(
            healthy_panic_threshold=Percent(value=0),
            ignore_new_hosts_until_first_hc=True,
            update_merge_window=duration(_MERGE_WINDOW),
            zone_aware_lb_config=Cluster.CommonLbConfig.ZoneAwareLbConfig(min_cluster_size=UInt64Value(value=ZONE_AWARE_FROM)),
        ),
        # Else a host that discovery dropped keeps its traffic for as long as it passes checks.
        ignore_health_on_host_removal=True,
    )


def _breakers() -> CircuitBreakers:
    return CircuitBreakers(thresholds=[CircuitBreakers.Thresholds(max_retries=UInt32Value(value=_RETRIES_AT_ONCE))])


def _http2() -> Upstream:
    options = Upstream(explicit_http_config=Upstream.ExplicitHttpConfig(http2_protocol_options=windows()))
    options.explicit_http_config.http2_protocol_options.connection_keepalive.CopyFrom(
        KeepaliveSettings(interval=duration(_PING_INTERVAL), timeout=duration(_PING_TIMEOUT))
    )
    return options


def _http1() -> Upstream:
    return Upstream(
        common_http_protocol_options=HttpProtocolOptions(idle_timeout=duration(_APP_IDLE_TIMEOUT)),
        explicit_http_config=Upstream.ExplicitHttpConfig(http_protocol_options=Http1ProtocolOptions()),
    )
