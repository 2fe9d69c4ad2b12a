"""The xDS server: listens, and joins proxies' streams to the snapshots that they should hold."""

import asyncio
import ipaddress
from datetime import timedelta
from functools import partial

import structlog

from apps.control_plane.cache import SnapshotCache
from apps.control_plane.counters import Counters
from apps.control_plane.health import HealthCheck
from apps.control_plane.node import Node
from apps.control_plane.plan import Planner
from apps.control_plane.services import HEALTH_CHECK, METHODS
from apps.control_plane.session import Authorizer, NackHook, Session
from apps.control_plane.source import SnapshotSource
from apps.control_plane.status import NodeStatus
from apps.control_plane.tls import ServerTls
from apps.control_plane.transport import GrpcConnection, GrpcStream, Handler

COALESCE = timedelta(milliseconds=5)
"""Changes within this time become one push."""
HANDSHAKE_TIMEOUT = timedelta(seconds=10)
BACKLOG = 4096
"""Connections that the kernel may hold for us: a whole fleet reconnects at once."""

log = structlog.get_logger()


def ignore_nack(node: Node, type_url: str, version: str, error: str) -> None:
    """The hook of a server whose refused pushes are only counted and logged."""


class AdsServer:
    """Serves snapshots to proxies over gRPC, and hears what they think of them. All calls belong to the event loop's thread."""

    def __init__(self, *, on_nack: NackHook = ignore_nack, identifier: str = "") -> None:
        self.on_nack = on_nack
        self.planner = Planner(identifier=identifier)
        self.sessions: set[Session] = set()
        self.counters = Counters(self.nodes, lambda: self.cache.refused)
        self._connections: set[GrpcConnection] = set()
        self._server: asyncio.Server | None = None
        self._due: asyncio.TimerHandle | None = None

    async def start(self, address: str, port: int, tls: ServerTls | None, source: SnapshotSource, authorize: Authorizer) -> int:
        """Listens and returns the port; plain text is allowed on loopback only."""
        if tls is None and not ipaddress.ip_address(address).is_loopback:
            raise ValueError(f"xDS on {address} without TLS: plain text is served on loopback only; give the server its keys")
        self.authorize = authorize
        self.cache = SnapshotCache(source)
        source.subscribe(self.changed)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            partial(GrpcConnection, self._route, self._connections),
            address,
            port,
            ssl=tls.context(self._on_handshake_refused) if tls else None,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT.total_seconds() if tls else None,
            backlog=BACKLOG,
        )
        bound: int = self._server.sockets[0].getsockname()[1]
        log.info("xds server listens", address=address, port=bound, tls=tls is not None)
        return bound

    async def stop(self, grace: timedelta) -> None:
        """Ends all streams, tells clients to go elsewhere, and closes what is still open after `grace`."""
        if self._due is not None:
            self._due.cancel()
        if self._server is not None:
            self._server.close()
        closing = [connection.shut("this control plane is stopping") for connection in list(self._connections)]
        if closing:
            await asyncio.wait(closing, timeout=grace.total_seconds())
        for connection in list(self._connections):
            connection.abort()
        if self._server is not None:
            await self._server.wait_closed()

    def changed(self) -> None:
        """Asks the source again for every connected node, shortly."""
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(COALESCE.total_seconds(), self._push)

    def nodes(self) -> list[NodeStatus]:
        """Every connected proxy."""
        return [status for session in self.sessions if (status := session.status()) is not None]

    @property
    def pushing(self) -> bool:
        """Whether connected nodes have yet to be asked for again after a change."""
        return self._due is not None

    def _push(self) -> None:
        self._due = None
        self.cache.refresh()

    def _route(self, path: str, stream: GrpcStream) -> Handler | None:
        method = METHODS.get(path)
        if method is not None:
            return Session(self, stream, delta=method.delta, default_type=method.default_type)
        return HealthCheck(stream) if path == HEALTH_CHECK else None

    def _on_handshake_refused(self, reason: str) -> None:
        self.counters.refusals["tls"] += 1
        log.warning("tls handshake refused", reason=reason)
