"""ADS, state of the world, seen by a grpcio client. Numbers are lines of the acceptance list, group N."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from apps.control_plane.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE


def test_131_the_first_request_of_each_type_gets_one_response_with_a_nonce_of_its_own(
    served: Any, connect: Any, make: Any, unpack: Callable[[Any], list[str]]
) -> None:
    served.publish(make.mesh())
    stream = connect(served)
    nonces = set()
    for type_url, names in ((CLUSTER, ()), (ENDPOINT, ("service-1", "service-2")), (LISTENER, ()), (ROUTE, ("egress",))):
        stream.ask(type_url, names)
        response = stream.answer()
        assert response.type_url == type_url
        assert response.version_info
        assert unpack(response) == sorted(make.mesh()[type_url])
        nonces.add(response.nonce)
        stream.ack(response, names)
    assert len(nonces) == 4
    assert stream.is_silent()


def test_132_after_an_ack_only_what_changed_is_pushed(served: Any, connect: Any, make: Any) -> None:
    mesh = make.mesh()
    served.publish(mesh)
    stream = connect(served)
    for type_url in (CLUSTER, LISTENER):
        stream.ask(type_url)
        stream.ack(stream.answer())
    assert stream.is_silent()
    served.publish({**mesh, CLUSTER: make.mesh(version=2)[CLUSTER]})
    assert stream.answer().type_url == CLUSTER
    assert stream.is_silent()


def test_135_the_node_is_said_once_and_each_node_gets_its_own(served: Any, connect: Any, make: Any, unpack: Any) -> None:
    for service in ("a", "b"):
        served.publish(make.mesh((f"of-{service}",)), node=f"service/{service}/i-1")
    for service in ("a", "b"):
        stream = connect(served, node=f"service/{service}/i-1")
        stream.ask(CLUSTER)
        assert unpack(stream.answer()) == [f"of-{service}"]
        stream.ask(ENDPOINT, (f"of-{service}",))
        assert unpack(stream.answer()) == [f"of-{service}"]


def test_136_ads_without_a_type_is_invalid_and_a_typed_service_has_one(served: Any, connect: Any, make: Any) -> None:
    served.publish(make.mesh())
    stream = connect(served)
    stream.ask("")
    with pytest.raises(grpc.RpcError) as caught:
        stream.answer()
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
    assert caught.value.details() == "type URL is required for ADS"  # type: ignore[attr-defined]
    typed = connect(served, method="/envoy.service.cluster.v3.ClusterDiscoveryService/StreamClusters")
    typed.ask("")
    assert typed.answer().type_url == CLUSTER


def test_137_an_unknown_node_waits_in_silence_and_is_answered_when_it_is_known(served: Any, connect: Any, make: Any) -> None:
    stream = connect(served)
    stream.ask(CLUSTER)
    assert stream.is_silent()
    served.publish(make.mesh())
    assert stream.answer().type_url == CLUSTER


def test_the_endpoints_of_the_local_cluster_are_served_before_any_cluster_was_asked_for(
    served: Any, connect: Any, make: Any, unpack: Any
) -> None:
    mesh = make.mesh()
    mesh[ENDPOINT]["mesh.local"] = make.endpoints("mesh.local", 8000)
    served.publish(mesh)
    stream = connect(served)
    stream.ask(ENDPOINT, ("mesh.local",))
    assert unpack(stream.answer()) == ["mesh.local"]


def test_138_when_everything_changes_what_is_referred_to_comes_first(served: Any, connect: Any, make: Any) -> None:
    stream = connect(served)
    for type_url, names in ((ROUTE, ("egress",)), (LISTENER, ()), (ENDPOINT, ("service-1",)), (CLUSTER, ())):
        stream.ask(type_url, names)
    assert stream.is_silent()
    served.publish(make.mesh())
    assert [stream.answer().type_url for _ in range(4)] == [CLUSTER, ENDPOINT, LISTENER, ROUTE]


def test_a_refused_version_is_not_sent_again_until_it_changes(served: Any, connect: Any, make: Any) -> None:
    served.publish(make.mesh())
    stream = connect(served)
    stream.ask(CLUSTER)
    bad = stream.answer()
    stream.ack(bad, error="no such thing")
    assert stream.is_silent()
    assert served.nacks == [("service/service-1/i-1", CLUSTER, bad.version_info, "no such thing")]
    [status] = served.nodes()
    assert status.types[CLUSTER].nacked == bad.version_info
    assert status.answered
    served.publish(make.mesh(version=2))
    good = stream.answer()
    assert good.version_info != bad.version_info
    assert [status.answered for status in served.nodes()] == [False]
    stream.ack(good)
    assert stream.is_silent()
    [status] = served.nodes()
    assert status.answered
    assert (status.types[CLUSTER].acked, status.types[CLUSTER].nacked) == (good.version_info, "")
