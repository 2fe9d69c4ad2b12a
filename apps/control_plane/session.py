"""One proxy's stream on the server: who it is, what it should hold, and what goes back and forth."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

import structlog
from envoy.config.core.v3.base_pb2 import Node as NodeMessage
from google.protobuf.message import DecodeError
from grpc import StatusCode

from apps.control_plane.cache import SnapshotCache
from apps.control_plane.counters import Counters
from apps.control_plane.node import Node
from apps.control_plane.plan import Planner
from apps.control_plane.snapshot import Snapshot
from apps.control_plane.status import NodeStatus, TypeStatus
from apps.control_plane.stream import ProtocolViolation, Stream
from apps.control_plane.stream_delta import DeltaStream
from apps.control_plane.stream_sotw import SotwStream
from apps.control_plane.transport import GrpcStream
from apps.control_plane.type_urls import short_name
from apps.control_plane.wire import Response, parse_delta, parse_sotw

Authorizer = Callable[[Node, str | None], str | None]
"""Given a node and the SPIFFE id of its certificate (None on plain connections): None when it may be served, else why not."""
NackHook = Callable[[Node, str, str, str], None]
"""Told of a refused configuration: node, type URL, version, the proxy's error text."""

ENVOY = "envoy"
"""What an Envoy calls itself in its node message."""

HOLD_LIMIT = timedelta(seconds=2)
"""How long an Envoy's listeners and routes wait at most for the endpoints of new clusters."""

log = structlog.get_logger()


class Host(Protocol):
    """What sessions need of their server."""

    cache: SnapshotCache
    planner: Planner
    counters: Counters
    authorize: Authorizer
    on_nack: NackHook
    sessions: set["Session"]


class Session:
    """The handler of one xDS stream."""

    def __init__(self, host: Host, grpc: GrpcStream, *, delta: bool, default_type: str | None) -> None:
        self.api = "delta" if delta else "sotw"
        self.node: Node | None = None
        self._host = host
        self._grpc = grpc
        self._held_back = False
        self._hold: asyncio.TimerHandle | None = None
        self._parse = parse_delta if delta else parse_sotw
        self._stream: Stream = (DeltaStream if delta else SotwStream)(host.planner, self, default_type)
        host.sessions.add(self)

    def on_message(self, message: bytes) -> None:
        """Takes a request; the first one of a stream says who asks."""
        try:
            request = self._parse(message)
            if self.node is None:
                node = self._admit(request.node)
                if node is None:
                    return
                self.node = node
                self._stream.warms_clusters = node.user_agent == ENVOY
                self._stream.on_request(request)
                self._host.cache.watch(node, self.on_snapshot)
            else:
                self._stream.on_request(request)
                self._pump()
        except DecodeError as error:
            self._refuse(StatusCode.INVALID_ARGUMENT, f"the request does not parse: {error}")
        except ProtocolViolation as error:
            self._refuse(StatusCode.INVALID_ARGUMENT, str(error))

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """Takes what the node should hold from now on."""
        self._stream.show(snapshot)
        self._grpc.guard(self._pump)

    def on_writable(self) -> None:
        """Sends what was held back while the client did not read: the newest state, not what it missed."""
        if self._held_back:
            self._pump()

    def on_end(self) -> None:
        """The client has left politely."""
        self._grpc.finish(StatusCode.OK)

    def on_close(self) -> None:
        """Frees the watch."""
        self._host.sessions.discard(self)
        self._end_hold()
        if self.node is not None:
            self._host.cache.unwatch(self.node, self.on_snapshot)
            self.node = None

    def status(self) -> NodeStatus | None:
        """Where the proxy stands; None before it has said who it is."""
        if self.node is None:
            return None
        types = {
            type_url: TypeStatus(sent=one.sent_version, acked=one.acked_version, nacked=one.nacked_version, error=one.error)
            for type_url, one in self._stream.types.items()
        }
        return NodeStatus(node=self.node, api=self.api, types=types, answered=self._stream.answered and not self._held_back)

    def pushed(self, type_url: str, response: Response, nonce: int) -> None:
        """Counts."""
        self._host.counters.pushes[type_url] += 1

    def acked(self, type_url: str, version: str) -> None:
        """Counts."""
        self._host.counters.acks[type_url] += 1

    def nacked(self, type_url: str, version: str, nonce: int, error: str) -> None:
        """Counts, logs and tells whoever guards the fleet."""
        if self.node is None:
            return
        self._host.counters.nacks[str(self.node.id), type_url] += 1
        log.error("configuration refused", node=str(self.node.id), type=short_name(type_url), version=version, nonce=nonce, reason=error)
        self._host.on_nack(self.node, type_url, version, error)

    def _pump(self) -> None:
        if self._grpc.blocked:
            self._held_back = True
            return
        self._held_back = False
        for message in self._stream.pump():
            self._grpc.send(message)
        if self._hold is None and self._stream.holding:
            self._hold = asyncio.get_running_loop().call_later(HOLD_LIMIT.total_seconds(), self._let_go)
        elif self._hold is not None and not self._stream.holding:
            self._end_hold()

    def _let_go(self) -> None:
        log.warning("endpoints of new clusters were not taken in time; what uses them is sent now", node=str(self.node and self.node.id))
        self._end_hold()
        self._stream.let_go()
        self._grpc.guard(self._pump)

    def _end_hold(self) -> None:
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.cancel()

    def _admit(self, message: NodeMessage) -> Node | None:
        if not message.id:
            self._refuse(StatusCode.INVALID_ARGUMENT, "the first request of a stream must carry node.id")
            return None
        try:
            node = Node.of(message)
        except ValueError as error:
            self._refuse(StatusCode.INVALID_ARGUMENT, str(error))
            return None
        reason = self._host.authorize(node, self._grpc.identity)
        if reason is not None:
            self._refuse(StatusCode.PERMISSION_DENIED, reason, node=str(node.id))
            return None
        return node

    def _refuse(self, status: StatusCode, reason: str, *, node: str = "") -> None:
        self._host.counters.refusals[status.name.lower()] += 1
        log.warning("stream refused", node=node or str(self.node.id if self.node else ""), identity=self._grpc.identity, reason=reason)
        self._grpc.finish(status, reason)
