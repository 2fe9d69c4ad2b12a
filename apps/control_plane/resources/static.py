"""A node's resources as one static bootstrap, for `envoy --mode validate` and for Envoys that no control plane serves."""

from collections.abc import Mapping

from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import TransportSocket
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.oauth2.v3.oauth_pb2 import OAuth2
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpConnectionManager, HttpFilter
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import DownstreamTlsContext, UpstreamTlsContext
from google.protobuf.message import Message

from apps.control_plane import type_urls
from apps.control_plane.resources.protos import pack


def static_bootstrap(resources: Mapping[str, Mapping[str, Message]]) -> Bootstrap:
    """Puts in place what the resources refer to: routes into listeners, endpoints into clusters, secrets beside them.

    The input stays as it is. Raises KeyError when something referred to is missing.
    """
    bootstrap = Bootstrap()
    for cluster in resources[type_urls.CLUSTER].values():
        if isinstance(cluster, Cluster):
            _add_cluster(bootstrap.static_resources.clusters.add(), cluster, resources[type_urls.ENDPOINT])
    for listener in resources[type_urls.LISTENER].values():
        if isinstance(listener, Listener):
            _add_listener(bootstrap.static_resources.listeners.add(), listener, resources[type_urls.ROUTE])
    bootstrap.static_resources.secrets.extend(resources[type_urls.SECRET].values())
    return bootstrap


def _add_cluster(target: Cluster, cluster: Cluster, assignments: Mapping[str, Message]) -> None:
    target.CopyFrom(cluster)
    _name_static_certificates(target.transport_socket)
    if cluster.type != Cluster.EDS:
        return
    target.ClearField("eds_cluster_config")
    target.type = Cluster.STATIC
    assignment = assignments[cluster.eds_cluster_config.service_name or cluster.name]
    if isinstance(assignment, ClusterLoadAssignment):
        target.load_assignment.CopyFrom(assignment)
        target.load_assignment.cluster_name = cluster.name


def _add_listener(target: Listener, listener: Listener, routes: Mapping[str, Message]) -> None:
    target.CopyFrom(listener)
    for chain in target.filter_chains:
        _name_static_certificates(chain.transport_socket)
        for item in chain.filters:
            manager = HttpConnectionManager()
            if item.typed_config.Unpack(manager) and manager.HasField("rds"):
                found = routes[manager.rds.route_config_name]
                if isinstance(found, RouteConfiguration):
                    manager.route_config.CopyFrom(found)
                for http_filter in manager.http_filters:
                    _name_static_secrets(http_filter)
                item.typed_config.CopyFrom(pack(manager))


def _name_static_certificates(socket: TransportSocket) -> None:
    for context in (DownstreamTlsContext(), UpstreamTlsContext()):
        if not socket.typed_config.Unpack(context):
            continue
        common = context.common_tls_context
        for secret in common.tls_certificate_sds_secret_configs:
            secret.ClearField("sds_config")
        if common.HasField("combined_validation_context"):
            common.combined_validation_context.validation_context_sds_secret_config.ClearField("sds_config")
        socket.typed_config.CopyFrom(pack(context))


def _name_static_secrets(http_filter: HttpFilter) -> None:
    login = OAuth2()
    if http_filter.typed_config.Unpack(login):
        login.config.credentials.token_secret.ClearField("sds_config")
        login.config.credentials.hmac_secret.ClearField("sds_config")
        http_filter.typed_config.CopyFrom(pack(login))
