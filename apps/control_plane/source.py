"""The seam between those who know what a proxy should hold and those who bring it there."""

from collections.abc import Callable
from typing import Protocol

from apps.control_plane.node import Node
from apps.control_plane.snapshot import Snapshot


class SnapshotSource(Protocol):
    """Says what each node should hold, and when that may have changed."""

    def snapshot_for(self, node: Node) -> Snapshot | None:
        """The node's snapshot, whose parts fit each other; None while there is none. Called often: cache it by what it depends on."""
        ...

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Registers what to call, in the event loop's thread, after any node's snapshot may have changed."""
        ...
