"""Connections of an outer edge to every edge of the origin before a client needs them.

An Envoy connects upstream when a request asks it to, each of its workers for itself, so the first ones would pay for
handshakes across regions. Here the outer edge asks itself: a check, each time on a new connection and so on any worker,
passes through a listener on loopback to the origin like a client's request, to one edge after the other.
"""

from datetime import timedelta

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import TrafficDirection
from envoy.config.core.v3.health_check_pb2 import HealthCheck
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint, LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_components_pb2 import FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import Route, RouteAction, RouteMatch, VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.type.v3.range_pb2 import Int64Range
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from apps.control_plane.resources import http, names, origin
from apps.control_plane.resources.facts import MachineFacts
from apps.control_plane.resources.protos import BUFFER_BYTES, address, duration
from model.contract import WARMTH_PORT

_INTERVAL = timedelta(seconds=1)
_TIMEOUT = timedelta(seconds=3)


def listener(facts: MachineFacts) -> Listener:
    action = RouteAction(cluster=names.ORIGIN, timeout=duration(_TIMEOUT))
    host = VirtualHost(name=names.WARMTH, domains=["*"], routes=[Route(match=RouteMatch(path=origin.HEALTH_PATH), route=action)])
    manager = http.unasked(names.WARMTH, RouteConfiguration(name=names.WARMTH, virtual_hosts=[host]))
    return Listener(
        name=names.WARMTH,
        stat_prefix=names.WARMTH,
        address=address(facts.loopback, WARMTH_PORT),
        traffic_direction=TrafficDirection.OUTBOUND,
        per_connection_buffer_limit_bytes=UInt32Value(value=BUFFER_BYTES),
        ignore_global_conn_limit=True,
        filter_chains=[FilterChain(name=names.WARMTH, filters=[http.network_filter(manager)])],
    )


def cluster(facts: MachineFacts) -> Cluster:
    """Any answer will do: whether an edge of the origin can be used, its own checks say."""
    check = HealthCheck(
        timeout=duration(_TIMEOUT),
        interval=duration(_INTERVAL),
        no_traffic_interval=duration(_INTERVAL),
        healthy_threshold=UInt32Value(value=1),
        unhealthy_threshold=UInt32Value(value=1),
        reuse_connection=BoolValue(value=False),
    )
    check.http_health_check.path = origin.HEALTH_PATH
    check.http_health_check.expected_statuses.append(Int64Range(start=200, end=600))
    endpoint = LbEndpoint(endpoint=Endpoint(address=address(facts.loopback, WARMTH_PORT)))
    return Cluster(
        name=names.WARMTH,
        type=Cluster.STATIC,
        connect_timeout=duration(_TIMEOUT),
        per_connection_buffer_limit_bytes=UInt32Value(value=BUFFER_BYTES),
        health_checks=[check],
        load_assignment=ClusterLoadAssignment(cluster_name=names.WARMTH, endpoints=[LocalityLbEndpoints(lb_endpoints=[endpoint])]),
    )
