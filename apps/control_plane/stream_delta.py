"""The incremental variant: requests add and drop names, responses bring what changed and name what is gone."""

from sys import intern

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest

from apps.control_plane.plan import EMPTY, Plan, Subscription, View
from apps.control_plane.stream import Stream, TypeState

WILDCARD = "*"


class DeltaStream(Stream):
    """One stream of `Delta…` methods."""

    def on_request(self, request: DeltaDiscoveryRequest) -> None:
        """Takes a request in; names are cumulative, so they count even where the nonce is stale."""
        state, is_new = self._state(request.type_url)
        if request.response_nonce and request.response_nonce == str(state.nonce):
            self._settle(state, request.error_detail.message if request.HasField("error_detail") else None)
        if is_new or request.resource_names_subscribe or request.resource_names_unsubscribe:
            self._subscribe(state, request, is_new=is_new)

    def _subscribe(self, state: TypeState, request: DeltaDiscoveryRequest, *, is_new: bool) -> None:
        added = frozenset(map(intern, request.resource_names_subscribe))
        dropped = frozenset(request.resource_names_unsubscribe)
        old = state.subscription
        wildcard = (old.wildcard and WILDCARD not in dropped) or WILDCARD in added or (is_new and not added)
        names = (old.names | added) - dropped - {WILDCARD}
        state.subscribe(Subscription(wildcard, names))
        if is_new:
            held = {intern(name): intern(version) for name, version in request.initial_resource_versions.items() if version}
            state.held = View("", held, {}).of_names(state.subscription) if held else EMPTY
        else:
            state.held = state.held.without(added | dropped).of_names(state.subscription)
        state.must_answer = state.must_answer or (wildcard and not old.wildcard and not state.held.versions)

    def _plan(self, state: TypeState, held: View, may_remove: bool) -> Plan:
        return self._planner.delta(state.type_url, held, state.desired, may_remove, state.must_answer)
