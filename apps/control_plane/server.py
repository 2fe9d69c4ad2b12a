"""The xDS server: connects proxies' streams to the snapshots that they should hold."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from apps.control_plane.node import Node
from apps.control_plane.source import SnapshotSource

Authorizer = Callable[[Node, str | None], str | None]
"""Given a node and the SPIFFE id of its certificate (None on plain connections): None when it may be served, else why not."""
NackHook = Callable[[Node, str, str, str], None]
"""Told of a refused configuration: node, type URL, version, the proxy's error text."""


@dataclass(frozen=True, kw_only=True)
class ServerTls:
    """PEM files of a mutual TLS server: its own certificate and key, and the CA that clients' certificates must come from."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, kw_only=True)
class TypeStatus:
    """How far one proxy is with one type: versions are of the whole set, empty when there is none yet."""

    sent: str
    acked: str
    nacked: str
    error: str


@dataclass(frozen=True, kw_only=True)
class NodeStatus:
    """One connected proxy and where it stands, by type URL."""

    node: Node
    types: dict[str, TypeStatus]


class AdsServer:
    """Serves snapshots to proxies over gRPC, and hears what they think of them."""

    async def start(self, address: str, port: int, tls: ServerTls | None, source: SnapshotSource, authorize: Authorizer) -> int:
        """Listens and returns the port; plain text is allowed on loopback only."""
        raise NotImplementedError

    async def stop(self, grace: timedelta) -> None:
        """Ends all streams, tells clients to go elsewhere, and closes what is still open after `grace`."""

    def nodes(self) -> list[NodeStatus]:
        """Every connected proxy."""
        raise NotImplementedError
