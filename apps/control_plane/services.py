"""The gRPC methods of the xDS server: path → which API, and which type where the method has one."""

from collections.abc import Mapping
from typing import NamedTuple

from apps.control_plane import type_urls


class Method(NamedTuple):
    """How a path is served; without a type it is ADS and each request says its own."""

    delta: bool
    default_type: str | None


_TYPED = {
    type_urls.CLUSTER: ("cluster.v3.ClusterDiscoveryService", "Clusters"),
    type_urls.ENDPOINT: ("endpoint.v3.EndpointDiscoveryService", "Endpoints"),
    type_urls.SECRET: ("secret.v3.SecretDiscoveryService", "Secrets"),
    type_urls.LISTENER: ("listener.v3.ListenerDiscoveryService", "Listeners"),
    type_urls.ROUTE: ("route.v3.RouteDiscoveryService", "Routes"),
    type_urls.SCOPED_ROUTE: ("route.v3.ScopedRoutesDiscoveryService", "ScopedRoutes"),
    type_urls.RUNTIME: ("runtime.v3.RuntimeDiscoveryService", "Runtime"),
    type_urls.EXTENSION_CONFIG: ("extension.v3.ExtensionConfigDiscoveryService", "ExtensionConfigs"),
}

METHODS: Mapping[str, Method] = {
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources": Method(False, None),
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources": Method(True, None),
    "/envoy.service.route.v3.VirtualHostDiscoveryService/DeltaVirtualHosts": Method(True, type_urls.VIRTUAL_HOST),
    **{f"/envoy.service.{service}/Stream{what}": Method(False, type_url) for type_url, (service, what) in _TYPED.items()},
    **{f"/envoy.service.{service}/Delta{what}": Method(True, type_url) for type_url, (service, what) in _TYPED.items()},
}

HEALTH_CHECK = "/grpc.health.v1.Health/Check"
