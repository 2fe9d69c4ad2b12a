"""The `SnapshotSource` of a running mesh: builds a node's snapshot when something that it depends on has changed.

A snapshot that cannot be built or whose parts do not fit is refused: the node keeps its last good one. Where only machines
came or went, a snapshot gets new endpoints and keeps all else, so that a change costs the same however much a node has.
Snapshots live for two worlds: what nobody asked for during one world is forgotten with the next.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from google.protobuf.message import Message

from apps.control_plane import type_urls
from apps.control_plane.build import Builder, NodeNotInMesh
from apps.control_plane.metrics import Metrics
from apps.control_plane.model import World
from apps.control_plane.node import Node
from apps.control_plane.resources import names
from apps.control_plane.snapshot import InconsistentSnapshot, Resource, Snapshot
from apps.control_plane.status import Behind
from model.contract import Role

Group = tuple[Role, str]
Key = tuple[str, tuple[tuple[str, str], ...]]
SHARED_TYPES = frozenset({type_urls.CLUSTER, type_urls.ENDPOINT, type_urls.ROUTE})
"""Types of which a builder hands the same message to many nodes, so that it is serialised once."""

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Change:
    """How a world differs from the one before it."""

    everything: bool = False
    edge: bool = False
    """What only edges get: certificate, issuer, secrets."""
    groups: frozenset[Group] = frozenset()

    @classmethod
    def between(cls, old: World | None, new: World) -> "Change":
        """Compares intent, what only edges get, and the members of each group."""
        if old is None or old.spec != new.spec:
            return cls(everything=True)
        touched = {(item.role, item.service) for item in set(old.endpoints) ^ set(new.endpoints)}
        return cls(edge=_of_edges(old) != _of_edges(new), groups=frozenset(touched))

    @property
    def nothing(self) -> bool:
        return not (self.everything or self.edge or self.groups)

    def touches(self, node: Node, snapshot: Snapshot) -> bool:
        """Whether the node's snapshot may come out different: by what its endpoint resources name, or its own group."""
        if self.everything or (self.edge and node.id.role in (Role.EDGE, Role.OUTER_EDGE)):
            return True
        named = snapshot.resources(type_urls.ENDPOINT)
        if names.ORIGIN in named and (Role.EDGE, names.EDGE) in self.groups:
            return True
        return any(service in named or (role, service) == (node.id.role, node.id.service) for role, service in self.groups)


_BEHIND = -1


@dataclass(frozen=True, slots=True)
class _Built:
    """`intent` is the number of the intent that the snapshot fits; `_BEHIND` where what came later was refused."""

    snapshot: Snapshot
    intent: int


def _of_edges(world: World) -> tuple[object, ...]:
    return world.edge_tls, world.certificates, world.issuer, world.login_secrets, world.descriptors


class MeshSource:
    """Snapshots for the nodes of one world at a time. Implements `SnapshotSource`; for use in the event loop's thread only."""

    def __init__(self, *, metrics: Metrics) -> None:
        self._metrics = metrics
        self._callbacks: list[Callable[[], None]] = []
        self._world: World | None = None
        self._change = Change(everything=True)
        self._intent = self._intent_before = 0
        """Grows when more than machines changed."""
        self._builder: Builder | None = None
        self._shared: dict[int, tuple[Message, Resource]] = {}
        self._now: dict[Key, _Built | None] = {}
        self._before: dict[Key, _Built | None] = {}
        self.behind: dict[Node, Behind] = {}
        """Nodes for which nothing can be built of the present world."""

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Registers what to call after the world has changed."""
        self._callbacks.append(callback)

    def show(self, world: World) -> None:
        """Makes `world` the one that is served."""
        change = Change.between(self._world, world)
        if change.nothing:
            return
        self._world, self._change = world, change
        self._intent_before = self._intent
        self._intent += change.everything or change.edge
        self._builder, self._shared = Builder(world), {}
        self._before, self._now = self._now, {}
        self.behind.clear()
        for callback in self._callbacks:
            callback()

    def snapshot_for(self, node: Node) -> Snapshot | None:
        """The node's snapshot in the present world, or its last good one; None while there is none."""
        if self._builder is None:
            return None
        key = (str(node.id), tuple(sorted(node.facts.items())))
        if key not in self._now:
            last = self._before.get(key)
            if last and last.intent == self._intent_before and not self._change.touches(node, last.snapshot):
                self._now[key] = _Built(last.snapshot, self._intent)
            else:
                self._now[key] = self._build(self._builder, node, last) or (last and _Built(last.snapshot, _BEHIND))
        built = self._now[key]
        return built.snapshot if built else None

    def _build(self, builder: Builder, node: Node, last: _Built | None) -> _Built | None:
        self._metrics.builds.inc()
        try:
            snapshot = self._with_endpoints(builder, node, last) or self._whole(builder, node)
            snapshot.check_consistent()
        except NodeNotInMesh as error:
            log.warning("node is not of this mesh", node=str(node.id), reason=str(error))
        except InconsistentSnapshot as error:
            self._refuse(node, last, str(error))
        except Exception as error:
            self._refuse(node, last, f"{type(error).__name__}: {error}")
            log.exception("snapshot could not be built", node=str(node.id))
        else:
            return _Built(snapshot, self._intent)
        return None

    def _whole(self, builder: Builder, node: Node) -> Snapshot:
        resources: dict[str, Mapping[str, Message | Resource]] = {**builder.resources_for(node)}
        for type_url in SHARED_TYPES & resources.keys():
            resources[type_url] = self._shared_of(resources[type_url])
        return Snapshot.of(resources)

    def _with_endpoints(self, builder: Builder, node: Node, last: _Built | None) -> Snapshot | None:
        """The last snapshot with the endpoints of now; None where more than those may have changed."""
        if last is None or last.intent != self._intent:
            return None
        endpoints = builder.endpoints_for(node, last.snapshot.resources(type_urls.ENDPOINT).keys())
        return last.snapshot.replaced({type_urls.ENDPOINT: self._shared_of(endpoints)}) if endpoints else None

    def _shared_of(self, messages: Mapping[str, Message | Resource]) -> dict[str, Message | Resource]:
        return {name: self._once(name, message) for name, message in messages.items()}

    def _once(self, name: str, message: Message | Resource) -> Resource:
        """Keeps the message with its resource, so that its identity is not given to another one meanwhile."""
        if isinstance(message, Resource):
            return message
        if id(message) not in self._shared:
            self._shared[id(message)] = (message, Resource.of(name, message))
        return self._shared[id(message)][1]

    def _refuse(self, node: Node, last: _Built | None, reason: str) -> None:
        self.behind[node] = Behind(reason=f"what was built for it is refused: {reason}", keeps=last is not None)
        self._metrics.snapshots_refused.labels(node.id.role, node.id.service).inc()
        log.error("snapshot refused; the last good one stands", node=str(node.id), reason=reason)
