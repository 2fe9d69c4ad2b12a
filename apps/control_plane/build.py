"""What one node is served: the resources of its role, by type URL and name."""

from collections.abc import Collection, Iterable, Sequence
from functools import cached_property

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from google.protobuf.message import Message

from apps.control_plane import type_urls
from apps.control_plane.model import World
from apps.control_plane.node import Node
from apps.control_plane.resources import clusters, endpoints, listeners, names, routes, secrets, warmth
from apps.control_plane.resources.facts import MachineFacts
from apps.control_plane.resources.features import FEATURES, OUTER_FEATURES
from model.contract import IDENTITY_PORT, INGRESS_PORT, ORIGIN_PORT, POSTGRES_BACKEND_PORT, POSTGRES_PORT, NodeId, Role, spiffe_id
from model.edge_certificates import named_domains
from model.identity import is_builtin
from model.spec import ServiceSpec

Resources = dict[str, dict[str, Message]]
"""Type URL -> resource name -> resource; every type is present, also where it is empty."""


class NodeNotInMesh(LookupError):
    """The mesh has no place for this node: a service that was removed, a role without an Envoy."""


class Builder:
    """Builds for the nodes of one world.

    What does not depend on the machine is built once and handed to every node as the same object; nobody may change it.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._spec = world.spec
        self._clusters: dict[str, Cluster] = {}
        self._assignments: dict[str, ClusterLoadAssignment] = {}
        self._routes: dict[str, list[RouteConfiguration]] = {}

    def resources_for(self, node: Node) -> Resources:
        """The node's resources; raises NodeNotInMesh, or ValueError for facts that cannot be used."""
        facts = MachineFacts.read(node.id, node.facts)
        match node.id.role:
            case Role.EDGE:
                return self._edge(facts)
            case Role.OUTER_EDGE if any(outer.region == node.id.service for outer in self._spec.edge.outer):
                return self._outer_edge(facts)
            case Role.SERVICE if node.id.service in self._spec.services:
                return self._sidecar(facts, node.id.service, self._spec.services[node.id.service])
            case Role.DATABASE if self._spec.database:
                return self._database(facts)
        raise NodeNotInMesh(f"node {node.id}: stack {self._world.stack} has no such {node.id.role}; is its group being removed?")

    def endpoints_for(self, node: Node, wanted: Collection[str]) -> dict[str, ClusterLoadAssignment] | None:
        """Of the node's resources these endpoints alone; None where one of them is not simply a group's."""
        if not {names.LOCAL_CLUSTER, names.POSTGRES, *self._spec.services}.issuperset(wanted):
            return None
        return {name: self._own_group(node.id) if name == names.LOCAL_CLUSTER else self._assignment(name) for name in wanted}

    def _edge(self, facts: MachineFacts) -> Resources:
        world, config = self._world, self._spec.edge
        routed = [name for name, service in self._spec.services.items() if service.edge_routes]
        filters = [item for feature in FEATURES for item in feature.filters(world)]
        accepting = self._towards_clients(facts, filters)
        shown = [*self._client_secrets, *(secret for feature in FEATURES for secret in feature.secrets(world))]
        if config.outer:
            peers = [spiffe_id(self._spec.domain, Role.OUTER_EDGE, outer.region) for outer in config.outer]
            accepting.append(listeners.edge_origin(facts, peers, filters, self._own_headers))
            shown += secrets.of_machine(facts.tls)
        return _resources(
            listeners=accepting,
            routes=[self._edge_routes],
            clusters=[*map(self._cluster, routed), *self._feature_clusters],
            assignments=[*map(self._assignment, routed), *self._identity, self._own_group(facts.node)],
            secrets=shown,
        )

    def _outer_edge(self, facts: MachineFacts) -> Resources:
        """No service and no secret of logins: a region that only forwards learns of nothing behind the origin."""
        filters = [item for feature in OUTER_FEATURES for item in feature.filters(self._world)]
        return _resources(
            listeners=[*self._towards_clients(facts, filters), warmth.listener(facts)],
            routes=[self._outer_routes],
            clusters=[self._origin, warmth.cluster(facts)],
            assignments=[self._origin_edges, self._own_group(facts.node)],
            secrets=[*self._client_secrets, *secrets.of_machine(facts.tls)],
        )

    def _towards_clients(self, facts: MachineFacts, filters: Sequence[HttpFilter]) -> list[Listener]:
        ports = self._spec.edge
        certificates = {names.edge_secret(path): domains for path, domains in self._by_sni.items()}
        return [
            listeners.edge_https(facts, ports.https, filters, self._own_headers, certificates),
            listeners.edge_http(facts, ports.http, ports.https),
        ]

    def _sidecar(self, facts: MachineFacts, name: str, service: ServiceSpec) -> Resources:
        callees = [callee for callee in service.calls if callee != names.POSTGRES]
        tcp = [callee for callee in callees if self._spec.services[callee].protocol == "tcp"]
        called = sorted(service.calls)
        accepting = [listeners.ingress(facts, service.protocol), listeners.egress(facts)]
        accepting += [listeners.tcp_egress(facts, callee, self._spec.services[callee].port) for callee in tcp]
        if names.POSTGRES in service.calls:
            accepting.append(listeners.postgres_egress(facts))
        return _resources(
            listeners=accepting,
            routes=self._sidecar_routes(name, service),
            clusters=[*map(self._cluster, called), clusters.of_app(facts.loopback, service.port, service.protocol)],
            assignments=[*map(self._assignment, called), self._own_group(facts.node)],
        )

    def _database(self, facts: MachineFacts) -> Resources:
        return _resources(
            listeners=[listeners.postgres_ingress(facts)],
            clusters=[clusters.of_app(facts.loopback, POSTGRES_BACKEND_PORT, "tcp")],
            assignments=[self._own_group(facts.node)],
        )

    @cached_property
    def _own_headers(self) -> list[str]:
        return [name for feature in FEATURES for name in feature.own_headers(self._world)]

    @cached_property
    def _by_sni(self) -> dict[str, list[str]]:
        return {path: domains for path, domains in named_domains(self._spec.edge).items() if path in self._world.certificates}

    @cached_property
    def _client_secrets(self) -> list[Secret]:
        world = self._world
        default = [secrets.certificate(names.EDGE_SECRET, world.edge_tls)] if world.edge_tls else []
        return [*default, *(secrets.certificate(names.edge_secret(path), world.certificates[path]) for path in self._by_sni)]

    @cached_property
    def _edge_routes(self) -> RouteConfiguration:
        return routes.edge(self._world)

    @cached_property
    def _outer_routes(self) -> RouteConfiguration:
        return routes.outer(self._world)

    @cached_property
    def _origin(self) -> Cluster:
        return clusters.of_origin(self._spec.domain)

    @cached_property
    def _origin_edges(self) -> ClusterLoadAssignment:
        return endpoints.assignment(names.ORIGIN, self._world.group(Role.EDGE, names.EDGE), ORIGIN_PORT)

    @cached_property
    def _feature_clusters(self) -> list[Cluster]:
        return [cluster for feature in FEATURES for cluster in feature.clusters(self._world)]

    @cached_property
    def _identity(self) -> list[ClusterLoadAssignment]:
        members = self._world.group(Role.IDENTITY, names.IDENTITY)
        return [endpoints.assignment(names.IDENTITY, members, IDENTITY_PORT)] if is_builtin(self._spec) else []

    def _sidecar_routes(self, name: str, service: ServiceSpec) -> list[RouteConfiguration]:
        if name not in self._routes:
            callees = sorted(callee for callee in service.calls if callee != names.POSTGRES)
            built = [routes.egress(self._spec, [callee for callee in callees if self._spec.services[callee].protocol != "tcp"])]
            if service.protocol != "tcp":
                built.append(routes.ingress(service))
            self._routes[name] = built
        return self._routes[name]

    def _cluster(self, name: str) -> Cluster:
        if name not in self._clusters:
            self._clusters[name] = (
                clusters.of_database() if name == names.POSTGRES else clusters.of_service(name, self._spec.services[name])
            )
        return self._clusters[name]

    def _assignment(self, name: str) -> ClusterLoadAssignment:
        if name not in self._assignments:
            if name == names.POSTGRES:
                members, port = self._world.group(Role.DATABASE, name), POSTGRES_PORT
            else:
                members, port = self._world.group(Role.SERVICE, name), INGRESS_PORT
            self._assignments[name] = endpoints.assignment(name, members, port)
        return self._assignments[name]

    def _own_group(self, node: NodeId) -> ClusterLoadAssignment:
        key = f"{node.role}/{node.service}"
        if key not in self._assignments:
            port = {Role.SERVICE: INGRESS_PORT, Role.DATABASE: POSTGRES_PORT}.get(node.role, self._spec.edge.https)
            self._assignments[key] = endpoints.assignment(names.LOCAL_CLUSTER, self._world.group(node.role, node.service), port)
        return self._assignments[key]


def resources_for(world: World, node: Node) -> Resources:
    """What `node` is served in `world`; for many nodes of one world keep a Builder."""
    return Builder(world).resources_for(node)


def _resources(
    *,
    listeners: Iterable[Listener],
    clusters: Iterable[Cluster],
    assignments: Iterable[ClusterLoadAssignment],
    routes: Iterable[RouteConfiguration] = (),
    secrets: Iterable[Secret] = (),
) -> Resources:
    return {
        type_urls.CLUSTER: {cluster.name: cluster for cluster in clusters},
        type_urls.ENDPOINT: {assignment.cluster_name: assignment for assignment in assignments},
        type_urls.LISTENER: {listener.name: listener for listener in listeners},
        type_urls.ROUTE: {route.name: route for route in routes},
        type_urls.SECRET: {secret.name: secret for secret in secrets},
    }
