"""What the edge can do for a request besides routing it; each feature is one module that subclasses `Feature`."""

from collections.abc import Iterable, Mapping

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.route.v3.route_components_pb2 import Route
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from google.protobuf.message import Message

from apps.control_plane.model import World
from model.edge import RouteSpec


class Feature:
    """A feature of the edge; what a subclass does not override, it does not have.

    Everything here is the same for all edges of a world: what differs by machine belongs to the listeners.
    """

    at_outer = False
    """Whether outer edges have it too, each its own: it needs no service, and twice does no harm. The rest is the origin's alone."""

    def own_headers(self, world: World) -> Iterable[str]:
        """Request headers that only this feature writes: what clients send in them is dropped first, on every route."""
        return ()

    def filters(self, world: World) -> Iterable[HttpFilter]:
        """HTTP filters of the TLS listener; none where the config does not ask for the feature."""
        return ()

    def of_route(self, world: World, service: str, route: RouteSpec) -> Mapping[str, Message]:
        """Filter name → its configuration on one route (`typed_per_filter_config`)."""
        return {}

    def change_route(self, world: World, service: str, route: RouteSpec, built: Route) -> None:
        """Sets fields of a built route, such as its action's upgrades."""

    def routes(self, world: World) -> Iterable[Route]:
        """Routes of the feature's own; they come before the services'."""
        return ()

    def clusters(self, world: World) -> Iterable[Cluster]:
        """Clusters of the feature's own."""
        return ()

    def secrets(self, world: World) -> Iterable[Secret]:
        """SDS secrets of the feature's own; only edges get them."""
        return ()
