"""The xDS resource types that this control plane speaks, in the order in which they are pushed."""

from collections.abc import Mapping

PREFIX = "type.googleapis.com/"

CLUSTER = PREFIX + "envoy.config.cluster.v3.Cluster"
ENDPOINT = PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
SECRET = PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"
LISTENER = PREFIX + "envoy.config.listener.v3.Listener"
ROUTE = PREFIX + "envoy.config.route.v3.RouteConfiguration"
SCOPED_ROUTE = PREFIX + "envoy.config.route.v3.ScopedRouteConfiguration"
VIRTUAL_HOST = PREFIX + "envoy.config.route.v3.VirtualHost"
RUNTIME = PREFIX + "envoy.service.runtime.v3.Runtime"
EXTENSION_CONFIG = PREFIX + "envoy.config.core.v3.TypedExtensionConfig"

PUSH_ORDER = (CLUSTER, ENDPOINT, SECRET, LISTENER, ROUTE, SCOPED_ROUTE, VIRTUAL_HOST, RUNTIME, EXTENSION_CONFIG)
"""What is referred to goes out before what refers to it: a proxy never learns a route to a cluster it was not told of."""

FULL_SET_TYPES = frozenset({CLUSTER, LISTENER})
"""Types whose state-of-the-world response is always the full set: a resource left out is a resource removed."""

USERS_OF_CLUSTERS = frozenset({LISTENER, ROUTE, SCOPED_ROUTE, VIRTUAL_HOST})
"""Types whose updates may send traffic to a cluster that is new."""

REFERRERS: Mapping[str, tuple[str, ...]] = {
    CLUSTER: (LISTENER, ROUTE, SCOPED_ROUTE, VIRTUAL_HOST),
    ENDPOINT: (CLUSTER, LISTENER, ROUTE, SCOPED_ROUTE, VIRTUAL_HOST),
    SECRET: (CLUSTER, LISTENER),
    ROUTE: (LISTENER, SCOPED_ROUTE),
    VIRTUAL_HOST: (ROUTE,),
    EXTENSION_CONFIG: (LISTENER, ROUTE),
}
"""A removal waits until the proxy has acknowledged the newest version of every type that may still name the removed resource."""


def short_name(type_url: str) -> str:
    """`Cluster` of `type.googleapis.com/envoy.config.cluster.v3.Cluster`: for logs, metrics and messages."""
    return type_url.rpartition(".")[2]
