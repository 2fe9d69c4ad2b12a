"""Incremental ADS, seen by a grpcio client. Numbers are lines of the acceptance list, group N."""

from typing import Any

import grpc
import pytest

from apps.control_plane.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE


def test_146_a_wildcard_brings_all_once_and_then_only_what_changed(served: Any, connect: Any, make: Any, unpack: Any) -> None:
    mesh = make.mesh()
    served.publish(mesh)
    stream = connect(served, delta=True)
    stream.ask(CLUSTER)
    first = stream.answer()
    assert unpack(first) == ["service-1", "service-2"]
    assert first.control_plane.identifier == "cp-test"
    stream.ack(first)
    assert stream.is_silent()
    mesh[CLUSTER]["service-2"] = make.cluster("service-2", timeout=9)
    served.publish(mesh)
    assert unpack(stream.answer()) == ["service-2"]


def test_146_a_wildcard_over_nothing_is_answered_with_nothing(served: Any, connect: Any) -> None:
    served.publish({})
    stream = connect(served, delta=True)
    stream.ask(CLUSTER)
    response = stream.answer()
    assert (list(response.resources), list(response.removed_resources)) == ([], [])


def test_148_a_reconnecting_client_is_sent_only_what_it_lacks(served: Any, connect: Any, make: Any, unpack: Any) -> None:
    snapshot = served.publish(make.mesh())
    versions = {name: one.version for name, one in snapshot.resources(CLUSTER).items()}
    stream = connect(served, delta=True)
    stream.ask(CLUSTER, initial_resource_versions=versions)
    assert stream.is_silent()
    stale = connect(served, delta=True)
    stale.ask(CLUSTER, initial_resource_versions={**versions, "service-1": "old", "vanished": "old"})
    response = stale.answer()
    assert (unpack(response), list(response.removed_resources)) == (["service-1"], ["vanished"])


def test_149_a_removal_is_told_and_what_returns_is_sent_again(served: Any, connect: Any, make: Any, unpack: Any) -> None:
    served.publish(make.mesh())
    stream = connect(served, delta=True)
    stream.ask(CLUSTER)
    stream.ack(stream.answer())
    served.publish(make.mesh(("service-1",), version=2))
    both = stream.answer()
    assert (unpack(both), list(both.removed_resources)) == (["service-1"], ["service-2"])
    stream.ack(both)
    served.publish(make.mesh(("service-1", "service-2"), version=2))
    again = stream.answer()
    assert (unpack(again), list(again.removed_resources)) == (["service-2"], [])


def test_153_a_name_added_later_is_brought_alone(served: Any, connect: Any, make: Any, unpack: Any) -> None:
    served.publish(make.mesh())
    stream = connect(served, delta=True)
    stream.ask(ENDPOINT, ("service-1",))
    stream.ack(stream.answer())
    stream.ask(ENDPOINT, ("service-2",))
    assert unpack(stream.answer()) == ["service-2"]


def test_the_endpoints_of_the_local_cluster_come_first_and_a_name_that_does_not_exist_is_said_so(
    served: Any, connect: Any, make: Any, unpack: Any
) -> None:
    mesh = make.mesh()
    mesh[ENDPOINT]["mesh.local"] = make.endpoints("mesh.local", 8000)
    served.publish(mesh)
    stream = connect(served, delta=True)
    stream.ask(ENDPOINT, ("mesh.local", "ghost"))
    response = stream.answer()
    assert (unpack(response), list(response.removed_resources)) == (["mesh.local"], ["ghost"])


def test_clusters_are_removed_only_after_the_routes_that_named_them_were_replaced(
    served: Any, connect: Any, make: Any, unpack: Any
) -> None:
    served.publish(make.mesh(("old",)))
    stream = connect(served, delta=True)
    for type_url, names in ((CLUSTER, ()), (ENDPOINT, ("old", "new")), (LISTENER, ()), (ROUTE, ("egress",))):
        stream.ask(type_url, names)
        stream.ack(stream.answer())
    served.publish(make.mesh(("new",), version=2))
    steps = []
    for _ in range(4):
        response = stream.answer()
        steps.append((response.type_url, unpack(response), list(response.removed_resources)))
        held = response
        if response.type_url != ROUTE:
            stream.ack(response)
    assert steps == [(CLUSTER, ["new"], []), (ENDPOINT, ["new"], []), (LISTENER, ["egress"], []), (ROUTE, ["egress"], [])]
    assert stream.is_silent()
    stream.ack(held)
    gone = stream.answer()
    assert (gone.type_url, list(gone.removed_resources)) == (CLUSTER, ["old"])
    assert stream.is_silent()
    stream.ack(gone)
    gone = stream.answer()
    assert (gone.type_url, list(gone.removed_resources)) == (ENDPOINT, ["old"])


def test_only_one_push_of_a_type_is_under_way_and_the_ack_brings_the_newest(served: Any, connect: Any, make: Any) -> None:
    served.publish(make.mesh())
    stream = connect(served, delta=True)
    stream.ask(CLUSTER)
    first = stream.answer()
    for version in (2, 3, 4):
        newest = served.publish(make.mesh(version=version))
    assert stream.is_silent()
    stream.ack(first)
    second = stream.answer()
    assert {one.name: one.version for one in second.resources} == newest.resources(CLUSTER).versions
    stream.ack(second)
    assert stream.is_silent()


def test_155_a_closed_stream_leaves_no_watch(served: Any, connect: Any, make: Any) -> None:
    served.publish(make.mesh())
    stream = connect(served, delta=True)
    stream.ask(CLUSTER)
    stream.answer()
    assert served.watched() == 1
    stream.close()
    other = connect(served, delta=True, node="service/service-2/i-2")
    other.ask(CLUSTER)
    other.answer()
    assert [str(one.node.id) for one in served.nodes()] == ["service/service-2/i-2"]
    assert served.watched() == 1


@pytest.mark.parametrize(
    ("node", "reason"),
    [("", "the first request of a stream must carry node.id"), ("nonsense", "node id 'nonsense' is not <role>/<service>/<instance>")],
)
def test_a_node_id_that_is_not_of_the_mesh_is_refused_and_counted(served: Any, connect: Any, node: str, reason: str) -> None:
    stream = connect(served, delta=True, node=node)
    stream.ask(CLUSTER)
    with pytest.raises(grpc.RpcError) as caught:
        stream.answer()
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
    assert caught.value.details().startswith(reason)  # type: ignore[attr-defined]
    assert served.server.counters.refusals == {"invalid_argument": 1}


def test_a_method_that_does_not_exist_is_unimplemented_and_health_is_served(served: Any, connect: Any) -> None:
    stream = connect(served, method="/envoy.service.discovery.v3.AggregatedDiscoveryService/Other")
    stream.ask(CLUSTER)
    with pytest.raises(grpc.RpcError) as caught:
        stream.answer()
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]
    with grpc.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=5) == b"\x08\x01"
