"""The state machines without any transport. Numbers are lines of the acceptance list, group N."""

from collections.abc import Callable
from typing import Any

import pytest
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)

from apps.control_plane.plan import Planner
from apps.control_plane.snapshot import Snapshot
from apps.control_plane.stream import MAX_TYPES, ProtocolViolation
from apps.control_plane.stream_delta import DeltaStream
from apps.control_plane.stream_sotw import SotwStream
from apps.control_plane.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE


class Log:
    def __init__(self) -> None:
        self.nacks: list[tuple[str, str, int, str]] = []

    def pushed(self, *_: object) -> None: ...
    def acked(self, *_: object) -> None: ...

    def nacked(self, *what: Any) -> None:
        self.nacks.append(what)


class Sotw:
    """Drives a state-of-the-world machine; each call returns the responses that it caused."""

    def __init__(self) -> None:
        self.log = Log()
        self.stream = SotwStream(Planner(), self.log)

    def show(self, resources: Any) -> list[Any]:
        self.stream.show(Snapshot.of(resources))
        return self.pump()

    def pump(self) -> list[Any]:
        return [DiscoveryResponse.FromString(message[5:]) for message in self.stream.pump()]

    def ask(self, type_url: str, *names: str, version: str = "", nonce: str = "", error: str = "") -> list[Any]:
        request = DiscoveryRequest(type_url=type_url, resource_names=names, version_info=version, response_nonce=nonce)
        if error:
            request.error_detail.message = error
        self.stream.on_request(request)
        return self.pump()

    def ack(self, response: Any, *names: str) -> list[Any]:
        return self.ask(response.type_url, *names, version=response.version_info, nonce=response.nonce)


class Delta:
    """The same for the incremental machine."""

    def __init__(self, *, envoy: bool = False) -> None:
        self.log = Log()
        self.stream = DeltaStream(Planner(), self.log)
        self.stream.warms_clusters = envoy

    def show(self, resources: Any) -> list[Any]:
        self.stream.show(Snapshot.of(resources))
        return self.pump()

    def pump(self) -> list[Any]:
        return [DeltaDiscoveryResponse.FromString(message[5:]) for message in self.stream.pump()]

    def ask(self, type_url: str, *names: str, drop: tuple[str, ...] = (), **fields: Any) -> list[Any]:
        error = fields.pop("error", "")
        request = DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=names, resource_names_unsubscribe=drop, **fields)
        if error:
            request.error_detail.message = error
        self.stream.on_request(request)
        return self.pump()

    def ack(self, response: Any, **fields: Any) -> list[Any]:
        return self.ask(response.type_url, response_nonce=response.nonce, **fields)


Names = Callable[[Any], list[str]]


def test_133_a_stale_nonce_is_ignored_and_the_right_one_after_it_is_honoured(make: Any, unpack: Names) -> None:
    client = Sotw()
    client.show(make.mesh())
    [first] = client.ask(ENDPOINT, "service-1")
    client.ack(first, "service-1")
    [second] = client.show(make.mesh(version=2))
    assert client.ask(ENDPOINT, "service-1", "service-2", version=first.version_info, nonce=first.nonce) == []
    [third] = client.ack(second, "service-1", "service-2")
    assert unpack(third) == ["service-2"]


def test_140_new_names_are_answered_and_a_repeated_request_is_not(make: Any, unpack: Names) -> None:
    client = Sotw()
    client.show(make.mesh())
    [first] = client.ask(ENDPOINT, "service-1")
    assert client.ack(first, "service-1") == []
    [second] = client.ack(first, "service-1", "service-2")
    assert unpack(second) == ["service-2"]
    assert client.ack(second, "service-1", "service-2") == []
    assert client.ack(second, "service-1", "service-2") == []
    [clusters] = client.ask(CLUSTER, "service-1")
    assert unpack(clusters) == ["service-1"]
    [clusters] = client.ack(clusters, "service-1", "service-2")
    assert unpack(clusters) == ["service-1", "service-2"]


def test_141_empty_names_mean_everything_only_until_something_was_named(make: Any, unpack: Names) -> None:
    client = Sotw()
    client.show(make.mesh())
    [everything] = client.ask(CLUSTER)
    assert unpack(everything) == ["service-1", "service-2"]
    [named] = client.ack(everything, "service-1")
    assert unpack(named) == ["service-1"]
    assert client.ack(named) == []
    assert client.show(make.mesh(version=2)) == []


def test_141_a_star_mixes_with_names_and_dropping_it_keeps_them(make: Any, unpack: Names) -> None:
    client = Sotw()
    client.show(make.mesh())
    [both] = client.ask(CLUSTER, "*", "service-1")
    assert unpack(both) == ["service-1", "service-2"]
    assert client.ack(both, "service-1") == []
    [one] = client.show(make.mesh(version=2))
    assert unpack(one) == ["service-1"]


def test_141_an_incremental_star_is_dropped_and_names_stay(make: Any, unpack: Names) -> None:
    client = Delta()
    client.show(make.mesh())
    [both] = client.ask(CLUSTER, "*", "service-1")
    assert client.ack(both, drop=("*",)) == []
    [one] = client.show(make.mesh(version=2))
    assert unpack(one) == ["service-1"]


def test_143_removed_clusters_shrink_the_full_set_and_removed_endpoints_say_nothing(make: Any, unpack: Names) -> None:
    client = Sotw()
    client.show(make.mesh())
    [clusters] = client.ask(CLUSTER)
    client.ack(clusters)
    [endpoints] = client.ask(ENDPOINT, "service-1", "service-2")
    client.ack(endpoints, "service-1", "service-2")
    [clusters] = client.show(make.mesh(("service-1",)))
    assert unpack(clusters) == ["service-1"]
    client.ack(clusters)
    [clusters] = client.show({})
    assert (clusters.type_url, unpack(clusters)) == (CLUSTER, [])
    assert client.ack(clusters) == []


def test_clusters_leave_the_full_set_only_after_the_routes_that_named_them_were_replaced(make: Any, unpack: Names) -> None:
    client = Sotw()
    client.show(make.mesh(("old",)))
    for type_url, names in ((CLUSTER, ()), (LISTENER, ()), (ROUTE, ("egress",))):
        [response] = client.ask(type_url, *names)
        client.ack(response, *names)
    clusters, listeners, routes = client.show(make.mesh(("new",), version=2))
    assert unpack(clusters) == ["new", "old"]
    assert client.ack(clusters) == client.ack(listeners) == []
    [clusters] = client.ack(routes, "egress")
    assert unpack(clusters) == ["new"]


def test_a_route_that_merely_vanishes_does_not_keep_its_cluster(make: Any, unpack: Names) -> None:
    client = Sotw()
    client.show(make.mesh(("old",)))
    for type_url, names in ((CLUSTER, ()), (ROUTE, ("egress",))):
        [response] = client.ask(type_url, *names)
        client.ack(response, *names)
    responses = client.show({})
    assert [(one.type_url, unpack(one)) for one in responses] == [(CLUSTER, [])]


def test_a_refused_route_keeps_the_clusters_that_the_old_one_uses(make: Any) -> None:
    client = Delta()
    client.show(make.mesh(("old",)))
    for type_url, names in ((CLUSTER, ()), (ROUTE, ("egress",))):
        [response] = client.ask(type_url, *names)
        client.ack(response)
    clusters, routes = client.show(make.mesh(("new",), version=2))
    client.ack(clusters)
    assert client.ack(routes, error="bad") == []
    assert client.log.nacks == [(ROUTE, routes.system_version_info, int(routes.nonce), "bad")]


def test_what_was_refused_together_with_a_bad_resource_is_sent_again_with_its_mend(make: Any, unpack: Names) -> None:
    client = Delta()
    mesh = make.mesh(("bad", "good", "other"))
    client.show(mesh)
    [response] = client.ask(ENDPOINT, "bad", "good")
    assert client.ack(response, error="bad is bad") == []
    [other] = client.ask(ENDPOINT, "other")
    assert unpack(other) == ["other"]
    assert client.ack(other) == []
    mesh[ENDPOINT]["bad"] = make.endpoints("bad", 99)
    [mended] = client.show(mesh)
    assert unpack(mended) == ["bad", "good"]
    assert client.ack(mended) == []


def test_going_back_to_the_version_before_a_refused_one_is_sent_once(make: Any) -> None:
    client = Sotw()
    client.show(make.mesh())
    [first] = client.ask(CLUSTER)
    client.ack(first)
    [bad] = client.show(make.mesh(version=2))
    assert client.ask(CLUSTER, version=first.version_info, nonce=bad.nonce, error="bad") == []
    [back] = client.show(make.mesh())
    assert back.version_info == first.version_info
    assert client.ack(back) == []


def test_a_proxy_that_moves_to_the_other_replica_is_sent_nothing(make: Any) -> None:
    first = Sotw()
    first.show(make.mesh())
    versions = {}
    for type_url, names in ((CLUSTER, ()), (ENDPOINT, ("service-1", "service-2")), (ROUTE, ("egress",))):
        [response] = first.ask(type_url, *names)
        versions[type_url, names] = response.version_info
    second = Sotw()
    second.show(make.mesh())
    for (type_url, names), version in versions.items():
        assert second.ask(type_url, *names, version=version) == []
    assert [one.type_url for one in second.show(make.mesh(version=2))] == [CLUSTER, ENDPOINT, ROUTE]


def test_an_envoy_is_sent_the_endpoints_of_a_changed_cluster_again_and_others_are_not(make: Any, unpack: Names) -> None:
    mesh = make.mesh()
    changed = {**mesh, CLUSTER: {**mesh[CLUSTER], "service-2": make.cluster("service-2", timeout=9)}}
    for envoy in (True, False):
        client = Delta(envoy=envoy)
        client.show(mesh)
        for type_url, names in ((CLUSTER, ()), (ENDPOINT, ("service-1", "service-2"))):
            [response] = client.ask(type_url, *names)
            client.ack(response)
        responses = client.show(changed)
        told = [(CLUSTER, ["service-2"]), (ENDPOINT, ["service-2"])] if envoy else [(CLUSTER, ["service-2"])]
        assert [(one.type_url, unpack(one)) for one in responses] == told


def test_a_reconnecting_envoy_whose_cluster_changed_is_sent_its_endpoints_though_it_has_them(make: Any, unpack: Names) -> None:
    mesh = make.mesh()
    known = Snapshot.of(mesh)
    changed = {**mesh, CLUSTER: {**mesh[CLUSTER], "service-2": make.cluster("service-2", timeout=9)}}
    client = Delta(envoy=True)
    client.show(changed)
    [clusters] = client.ask(CLUSTER, initial_resource_versions=known.resources(CLUSTER).versions)
    assert unpack(clusters) == ["service-2"]
    [endpoints] = client.ask(ENDPOINT, "service-1", "service-2", initial_resource_versions=known.resources(ENDPOINT).versions)
    assert unpack(endpoints) == ["service-2"]


def test_an_envoy_s_routes_wait_for_the_endpoints_of_clusters_that_are_new_with_them(make: Any, unpack: Names) -> None:
    client = Delta(envoy=True)
    client.show(make.mesh(("old",)))
    for type_url, names in ((CLUSTER, ()), (ENDPOINT, ("old",)), (LISTENER, ()), (ROUTE, ("egress",))):
        [response] = client.ask(type_url, *names)
        client.ack(response)
    [clusters] = client.show(make.mesh(("new",), version=2))
    assert unpack(clusters) == ["new"]
    assert client.ack(clusters) == []
    [endpoints] = client.ask(ENDPOINT, "new")
    assert unpack(endpoints) == ["new"]
    assert client.stream.holding
    listeners, routes = client.ack(endpoints)
    assert (listeners.type_url, routes.type_url) == (LISTENER, ROUTE)
    assert not client.stream.holding


def test_what_waits_is_sent_when_the_one_with_the_clock_lets_go(make: Any) -> None:
    client = Delta(envoy=True)
    client.show(make.mesh(("old",)))
    for type_url, names in ((CLUSTER, ()), (ENDPOINT, ("old",)), (ROUTE, ("egress",))):
        [response] = client.ask(type_url, *names)
        client.ack(response)
    [clusters] = client.show(make.mesh(("new",), version=2))
    client.ack(clusters)
    client.stream.let_go()
    assert [one.type_url for one in client.pump()] == [ROUTE]


def test_the_first_listeners_and_routes_of_a_starting_envoy_wait_for_nothing(make: Any) -> None:
    client = Delta(envoy=True)
    for type_url in (CLUSTER, LISTENER):
        client.ask(type_url)
    assert [one.type_url for one in client.show(make.mesh())] == [CLUSTER, LISTENER]


def test_a_name_asked_for_again_is_sent_again(make: Any, unpack: Names) -> None:
    client = Delta()
    client.show(make.mesh())
    [response] = client.ask(ENDPOINT, "service-1", "service-2")
    client.ack(response)
    [again] = client.ask(ENDPOINT, "service-1")
    assert unpack(again) == ["service-1"]
    client.ack(again)
    assert client.ask(ENDPOINT, drop=("service-2",)) == []
    assert [unpack(one) for one in client.show(make.mesh(version=2))] == [["service-1"]]


def test_a_name_dropped_under_a_wildcard_is_sent_again(make: Any, unpack: Names) -> None:
    """The client may have forgotten the resource with the name, though the wildcard still covers it."""
    client = Delta()
    client.show(make.mesh())
    [response] = client.ask(CLUSTER, "*", "service-1")
    client.ack(response)
    [again] = client.ask(CLUSTER, drop=("service-1",))
    assert unpack(again) == ["service-1"]


def test_streams_in_the_same_state_share_their_bytes(make: Any) -> None:
    planner = Planner()
    streams = [DeltaStream(planner, Log()) for _ in range(3)]
    for stream in streams:
        stream.show(Snapshot.of(make.mesh()))
        stream.on_request(DeltaDiscoveryRequest(type_url=CLUSTER))
    first, second, third = (stream.pump()[0] for stream in streams)
    assert first is second is third


def test_a_stream_cannot_ask_for_types_without_end(make: Any) -> None:
    client = Delta()
    for number in range(MAX_TYPES):
        client.ask(f"type-{number}")
    with pytest.raises(ProtocolViolation, match="one too many"):
        client.ask("another")
