"""Which other xDS resources a resource names, and so needs before a proxy can use it."""

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.base_pb2 import TransportSocket
from envoy.config.core.v3.config_source_pb2 import ConfigSource
from envoy.config.listener.v3.listener_components_pb2 import FilterChain
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.scoped_route_pb2 import ScopedRouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpConnectionManager
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import CommonTlsContext, DownstreamTlsContext, UpstreamTlsContext
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from apps.control_plane import type_urls

Reference = tuple[str, str]
"""A type URL and a name."""


def references_of(message: Message) -> frozenset[Reference]:
    """Every resource that `message` expects from this control plane; files and other servers do not count."""
    if isinstance(message, Cluster):
        return frozenset(_of_cluster(message))
    if isinstance(message, Listener):
        return frozenset(_of_listener(message))
    if isinstance(message, ScopedRouteConfiguration) and message.route_configuration_name:
        return frozenset({(type_urls.ROUTE, message.route_configuration_name)})
    return frozenset()


def _of_cluster(cluster: Cluster) -> set[Reference]:
    found = _of_transport_socket(cluster.transport_socket)
    for match in cluster.transport_socket_matches:
        found |= _of_transport_socket(match.transport_socket)
    if (
        cluster.WhichOneof("cluster_discovery_type") == "type"
        and cluster.type == Cluster.EDS
        and _is_ours(cluster.eds_cluster_config.eds_config)
    ):
        found.add((type_urls.ENDPOINT, cluster.eds_cluster_config.service_name or cluster.name))
    return found


def _of_listener(listener: Listener) -> set[Reference]:
    chains = list(listener.filter_chains)
    if listener.HasField("default_filter_chain"):
        chains.append(listener.default_filter_chain)
    found = _of_manager(listener.api_listener.api_listener)
    for chain in chains:
        found |= _of_chain(chain)
    return found


def _of_chain(chain: FilterChain) -> set[Reference]:
    found = _of_transport_socket(chain.transport_socket)
    for network_filter in chain.filters:
        found |= _of_manager(network_filter.typed_config)
    return found


def _of_manager(config: Any) -> set[Reference]:
    if not config.Is(HttpConnectionManager.DESCRIPTOR):
        return set()
    manager = HttpConnectionManager.FromString(config.value)
    if manager.HasField("rds") and _is_ours(manager.rds.config_source):
        return {(type_urls.ROUTE, manager.rds.route_config_name)}
    return set()


def _of_transport_socket(socket: TransportSocket) -> set[Reference]:
    if socket.typed_config.Is(UpstreamTlsContext.DESCRIPTOR):
        return _of_tls(UpstreamTlsContext.FromString(socket.typed_config.value).common_tls_context)
    if socket.typed_config.Is(DownstreamTlsContext.DESCRIPTOR):
        return _of_tls(DownstreamTlsContext.FromString(socket.typed_config.value).common_tls_context)
    return set()


def _of_tls(context: CommonTlsContext) -> set[Reference]:
    secrets = [*context.tls_certificate_sds_secret_configs]
    if context.HasField("validation_context_sds_secret_config"):
        secrets.append(context.validation_context_sds_secret_config)
    if context.combined_validation_context.HasField("validation_context_sds_secret_config"):
        secrets.append(context.combined_validation_context.validation_context_sds_secret_config)
    return {(type_urls.SECRET, secret.name) for secret in secrets if _is_ours(secret.sds_config)}


def _is_ours(source: ConfigSource) -> bool:
    return source.WhichOneof("config_source_specifier") in ("ads", "self")
