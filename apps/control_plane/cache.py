"""Nodes, their snapshots, and who waits for new ones; knows neither gRPC nor streams' states."""

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from apps.control_plane.node import Node
from apps.control_plane.snapshot import Snapshot
from apps.control_plane.source import SnapshotSource

Waiter = Callable[[Snapshot], None]

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Entry:
    snapshot: Snapshot | None = None
    waiters: list[Waiter] = field(default_factory=list)


class SnapshotCache:
    """The last good snapshot of every node that somebody watches."""

    def __init__(self, source: SnapshotSource) -> None:
        self._source = source
        self._entries: dict[Node, _Entry] = {}
        self.refused = 0
        """How often the source failed to say what a node should hold."""

    def watch(self, node: Node, waiter: Waiter) -> None:
        """Calls `waiter` with the node's snapshot, now if there is one, and with every later one."""
        entry = self._entries.setdefault(node, _Entry())
        entry.waiters.append(waiter)
        self._renew(node, entry)
        if entry.snapshot is not None:
            waiter(entry.snapshot)

    def unwatch(self, node: Node, waiter: Waiter) -> None:
        """Ends a watch; a node that nobody watches is forgotten."""
        entry = self._entries[node]
        entry.waiters.remove(waiter)
        if not entry.waiters:
            del self._entries[node]

    def refresh(self) -> None:
        """Asks the source again for every watched node."""
        for node, entry in list(self._entries.items()):
            if self._renew(node, entry) and entry.snapshot is not None:
                for waiter in tuple(entry.waiters):
                    waiter(entry.snapshot)

    @property
    def watched(self) -> int:
        """How many nodes are watched."""
        return len(self._entries)

    def _renew(self, node: Node, entry: _Entry) -> bool:
        try:
            snapshot = self._source.snapshot_for(node)
        except Exception as error:
            self.refused += 1
            log.exception("no new snapshot; the last good one stands", node=str(node.id), reason=str(error))
            return False
        if snapshot is None or snapshot is entry.snapshot:
            return False
        entry.snapshot = snapshot
        return True
