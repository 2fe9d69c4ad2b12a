"""One xDS stream's state: subscriptions, nonces, what was sent, acknowledged and refused. Pure: no I/O, no clock.

At most one push per type is unacknowledged; what changes meanwhile is sent with the acknowledgement. A refused version is not sent
again until it changes. Removals wait until nothing that the proxy uses may refer to the removed; an Envoy's listeners and routes wait
until the clusters that are new with them have their endpoints, for an Envoy answers 503 for a cluster that still warms.
"""

from abc import ABC, abstractmethod
from typing import Protocol

from google.protobuf.message import Message

from apps.control_plane import type_urls
from apps.control_plane.plan import EMPTY, NOTHING, Plan, Planner, Subscription, View
from apps.control_plane.snapshot import ResourceSet, Snapshot
from apps.control_plane.wire import Response

MAX_TYPES = 32
"""Types that one stream may ask for; Envoy knows about a dozen."""
MAX_NAMES = 100_000
"""Names that one stream may subscribe to in one type."""


class ProtocolViolation(Exception):
    """A request that ends its stream with INVALID_ARGUMENT; the text goes to the client."""


class Observer(Protocol):
    """Who is told of a stream's pushes and their fate."""

    def pushed(self, type_url: str, response: Response, nonce: int) -> None: ...

    def acked(self, type_url: str, version: str) -> None: ...

    def nacked(self, type_url: str, version: str, nonce: int, error: str) -> None: ...


class TypeState:
    """One type on one stream."""

    __slots__ = (
        "acked_version", "basis", "claimed", "desired", "error", "held", "must_answer", "nacked_version", "named_once", "nonce",
        "pending", "rejected", "sent_version", "subscription", "type_url",
    )  # fmt: skip

    def __init__(self, type_url: str) -> None:
        self.type_url = type_url
        self.subscription: Subscription = NOTHING
        self.named_once = False
        self.must_answer = False
        self.claimed = ""
        self.basis: ResourceSet | None = None
        self.desired: View = EMPTY
        self.held: View = EMPTY
        self.pending: Response | None = None
        self.nonce = 0
        self.rejected: frozenset[str] = frozenset()
        self.sent_version = self.acked_version = self.nacked_version = self.error = ""

    def subscribe(self, subscription: Subscription) -> None:
        """Changes what is wanted; the next pump looks up what that is."""
        if len(subscription.names) > MAX_NAMES:
            raise ProtocolViolation(f"{len(subscription.names)} names of {self.type_url}: a stream may have {MAX_NAMES} of a type")
        self.subscription, self.basis = subscription, None

    def settle(self, error: str | None) -> Response | None:
        """Takes the proxy's word on the push under way, an error text or None for consent; returns that push."""
        response, self.pending = self.pending, None
        if response is None:
            return None
        if error is not None:
            self.rejected |= response.names
            self.nacked_version, self.error = response.version, error
        else:
            self.acked_version = response.version
            if not self.rejected:
                self.nacked_version = self.error = ""
        return response

    @property
    def is_update(self) -> bool:
        """Whether the proxy works with an earlier version of this type."""
        return bool(self.sent_version or self.claimed or self.held.versions)

    @property
    def settled(self) -> bool:
        """Whether the proxy has accepted the newest of this type."""
        if self.pending or self.must_answer or self.rejected:
            return False
        return self.held is self.desired or self.held.versions == self.desired.versions


class Stream(ABC):
    """What both APIs have in common; subclasses read requests and choose the plan."""

    def __init__(self, planner: Planner, observer: Observer, default_type: str | None = None) -> None:
        self._planner = planner
        self._observer = observer
        self._default_type = default_type
        self._snapshot: Snapshot | None = None
        self._last_nonce = 0
        self._awaited: frozenset[str] = frozenset()
        self._fresh: frozenset[str] = frozenset()
        self.warms_clusters = False
        """Set for Envoys: a changed cluster waits for its endpoints to be sent again, though it does not ask for them again."""
        self.types: dict[str, TypeState] = {}
        """In push order."""

    def show(self, snapshot: Snapshot) -> None:
        """Makes `snapshot` what this stream should hold; `pump` says what to send for it."""
        self._snapshot = snapshot

    @property
    def holding(self) -> bool:
        """Whether users of clusters wait for the endpoints of new ones; whoever has a clock ends that with `let_go`."""
        return bool(self._fresh)

    @property
    def answered(self) -> bool:
        """Whether the proxy has accepted all that it should hold, or refused some of it; also while there is nothing for it."""
        states = self.types.values()
        if self._snapshot is None:
            return True
        return not any(state.pending for state in states) and (any(state.rejected for state in states) or all(s.settled for s in states))

    def let_go(self) -> None:
        """Holds nothing back any longer: the proxy never asked for those endpoints, or does not answer."""
        self._fresh = frozenset()

    def pump(self) -> list[bytes]:
        """gRPC messages to send now, in their order."""
        if self._snapshot is None:
            return []
        for state in self.types.values():
            resources = self._snapshot.resources(state.type_url)
            if state.basis is not resources and (state.basis is None or state.basis.version != resources.version):
                state.desired = self._planner.view(state.type_url, resources, state.subscription)
            state.basis = resources
        self._resend_awaited()
        if self._fresh and self._has_endpoints_of_fresh(self._snapshot):
            self.let_go()
        messages: list[bytes] = []
        while self._push_all(messages):
            pass
        return messages

    def _push_all(self, messages: list[bytes]) -> bool:
        """One round over all types; True when a type moved without a push, which may free what another one withheld."""
        moved = withheld = False
        for state in self.types.values():
            if state.pending or (state.held is state.desired and not state.must_answer):
                continue
            if self._fresh and state.type_url in type_urls.USERS_OF_CLUSTERS and state.is_update:
                continue
            before = state.held
            message = self._push(state)
            if message is not None:
                messages.append(message)
            elif state.held is not before:
                moved = True
            withheld = withheld or state.held is not state.desired
        return moved and withheld

    def _push(self, state: TypeState) -> bytes | None:
        claimed, state.claimed = state.claimed, ""
        if claimed and claimed == state.desired.version:
            state.held, state.must_answer, state.acked_version = state.desired, False, claimed
            return None
        held = state.held
        revised = any(held.versions.get(name) != state.desired.versions.get(name) for name in state.rejected)
        if revised:
            held = held.with_rejected(state.rejected)
        response, after, awaited, fresh = self._plan(state, held, self._may_remove(state))
        if response is None:
            if after.versions != state.held.versions or after is state.desired:
                state.held = after
            return None
        state.held, state.must_answer = after, False
        if revised or state.type_url in type_urls.FULL_SET_TYPES:
            state.rejected = frozenset()
        if self.warms_clusters and awaited:
            self._awaited |= awaited
            self._fresh |= fresh
            self._resend_awaited()
        self._last_nonce += 1
        state.nonce, state.pending, state.sent_version = self._last_nonce, response, response.version
        self._observer.pushed(state.type_url, response, state.nonce)
        return response.framed(state.nonce)

    def _has_endpoints_of_fresh(self, snapshot: Snapshot) -> bool:
        """Whether the proxy has taken the new clusters and all endpoints of them that there still are."""
        clusters, endpoints = self.types.get(type_urls.CLUSTER), self.types.get(type_urls.ENDPOINT)
        if endpoints is None or endpoints.pending or (clusters is not None and clusters.pending):
            return False
        there = snapshot.resources(type_urls.ENDPOINT)
        return all(name in endpoints.held.versions for name in self._fresh if name in there)

    def _resend_awaited(self) -> None:
        """Counts the awaited endpoints as never sent; on a new stream that waits until the proxy says what endpoints it wants."""
        state = self.types.get(type_urls.ENDPOINT)
        if self._awaited and state is not None:
            if not self._awaited.isdisjoint(state.held.versions):
                state.held = self._planner.forget(state.held, self._awaited)
            state.claimed, self._awaited = "", frozenset()

    def _may_remove(self, state: TypeState) -> bool:
        referrers = (self.types.get(type_url) for type_url in type_urls.REFERRERS.get(state.type_url, ()))
        return all(referrer is None or referrer.settled for referrer in referrers)

    @abstractmethod
    def on_request(self, request: Message) -> None:
        """Takes a request in; `pump` says what to send for it."""

    @abstractmethod
    def _plan(self, state: TypeState, held: View, may_remove: bool) -> Plan:
        """What to send of a type now, and what the proxy holds after it."""

    def _state(self, type_url: str) -> tuple[TypeState, bool]:
        """The state of the type that a request is about, and whether it is new on this stream."""
        type_url = type_url or self._default_type or ""
        if not type_url:
            raise ProtocolViolation("type URL is required for ADS")
        if self._default_type not in (None, type_url):
            raise ProtocolViolation(f"type URL {type_url!r} on a stream of {self._default_type!r}")
        state = self.types.get(type_url)
        if state is not None:
            return state, False
        if len(self.types) >= MAX_TYPES:
            raise ProtocolViolation(f"a stream may ask for {MAX_TYPES} types, {type_url!r} is one too many")
        self.types[type_url] = state = TypeState(type_url)
        rank = {known: place for place, known in enumerate(type_urls.PUSH_ORDER)}
        self.types = dict(sorted(self.types.items(), key=lambda item: rank.get(item[0], len(rank))))
        return state, True

    def _settle(self, state: TypeState, error: str | None) -> None:
        response = state.settle(error)
        if response is None:
            return
        if error is None:
            self._observer.acked(state.type_url, response.version)
        else:
            self._observer.nacked(state.type_url, response.version, state.nonce, error)
