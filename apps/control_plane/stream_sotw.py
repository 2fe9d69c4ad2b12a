"""The state-of-the-world variant: each request names all that is wanted of a type, and acknowledges."""

from sys import intern

from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest

from apps.control_plane import type_urls
from apps.control_plane.plan import Plan, Subscription, View
from apps.control_plane.stream import Stream, TypeState

WILDCARD = "*"


class SotwStream(Stream):
    """One stream of `Stream…` methods."""

    def on_request(self, request: DiscoveryRequest) -> None:
        """Takes a request in; a stale nonce makes it void, since the client will answer the newer response as well."""
        state, is_new = self._state(request.type_url)
        if is_new:
            state.claimed = request.version_info
        elif request.response_nonce:
            if request.response_nonce != str(state.nonce):
                return
            self._settle(state, request.error_detail.message if request.HasField("error_detail") else None)
        self._subscribe(state, frozenset(request.resource_names), is_new=is_new)

    def _subscribe(self, state: TypeState, names: frozenset[str], *, is_new: bool) -> None:
        old = state.subscription
        wildcard = WILDCARD in names or not (names or state.named_once)
        state.named_once = state.named_once or bool(names)
        names = names - {WILDCARD} if WILDCARD in names else names
        if not is_new and (wildcard, names) == old:
            return
        state.subscribe(Subscription(wildcard, frozenset(map(intern, names))))
        state.held = state.held.of_names(state.subscription)
        is_full_set = state.type_url in type_urls.FULL_SET_TYPES
        wants_more = (wildcard and not old.wildcard) or bool(names - old.names)
        if wants_more and (is_full_set or (wildcard and not old.wildcard)):
            state.must_answer = True

    def _plan(self, state: TypeState, held: View, may_remove: bool) -> Plan:
        return self._planner.sotw(state.type_url, held, state.desired, may_remove, state.must_answer)
