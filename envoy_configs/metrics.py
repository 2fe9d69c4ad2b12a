"""The listener through which others see an Envoy: its Prometheus statistics and whether it is ready, nothing else of admin."""

from datetime import timedelta

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint, LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import HeaderMatcher, Route, RouteAction, RouteMatch, VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.health_check.v3.health_check_pb2 import HealthCheck
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpConnectionManager, HttpFilter
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from envoy_configs.protos import BUFFER_BYTES, address, duration, pack
from model.contract import ADMIN_PORT, METRICS_PORT

NAME = "metrics"
PATHS = ("/stats/prometheus", "/ready")
HEALTH_PATH = "/healthcheck"
"""200, and 503 once `/healthcheck/fail` was posted to admin: takes an Envoy out of use while it still answers."""

_ADMIN = "admin"
_CONNECT_TIMEOUT = timedelta(seconds=1)


def listener(host: str) -> Listener:
    """Answers also in overload, since that is when it is asked."""
    routes = [
        Route(
            match=RouteMatch(path=path, headers=[HeaderMatcher(name=":method", string_match=StringMatcher(exact="GET"))]),
            route=RouteAction(cluster=_ADMIN),
        )
        for path in PATHS
    ]
    manager = HttpConnectionManager(
        stat_prefix=NAME,
        route_config=RouteConfiguration(name=NAME, virtual_hosts=[VirtualHost(name=NAME, domains=["*"], routes=routes)]),
        http_filters=[_health(), HttpFilter(name="envoy.filters.http.router", typed_config=pack(Router()))],
    )
    connection_manager = Filter(name="envoy.filters.network.http_connection_manager", typed_config=pack(manager))
    return Listener(
        name=NAME,
        stat_prefix=NAME,
        address=address(host, METRICS_PORT),
        per_connection_buffer_limit_bytes=UInt32Value(value=BUFFER_BYTES),
        ignore_global_conn_limit=True,
        bypass_overload_manager=True,
        filter_chains=[FilterChain(name=NAME, filters=[connection_manager])],
    )


def admin_cluster(loopback: str) -> Cluster:
    endpoint = LbEndpoint(endpoint=Endpoint(address=address(loopback, ADMIN_PORT)))
    return Cluster(
        name=_ADMIN,
        type=Cluster.STATIC,
        connect_timeout=duration(_CONNECT_TIMEOUT),
        per_connection_buffer_limit_bytes=UInt32Value(value=BUFFER_BYTES),
        load_assignment=ClusterLoadAssignment(cluster_name=_ADMIN, endpoints=[LocalityLbEndpoints(lb_endpoints=[endpoint])]),
    )


def _health() -> HttpFilter:
    path = HeaderMatcher(name=":path", string_match=StringMatcher(exact=HEALTH_PATH))
    config = HealthCheck(pass_through_mode=BoolValue(value=False), headers=[path])
    return HttpFilter(name="envoy.filters.http.health_check", typed_config=pack(config))
