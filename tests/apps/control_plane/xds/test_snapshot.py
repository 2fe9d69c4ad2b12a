"""Snapshots: versions by content, and what is refused as inconsistent."""

from collections.abc import Callable
from typing import Any

import pytest
from envoy.config.route.v3.scoped_route_pb2 import ScopedRouteConfiguration
from google.protobuf.any_pb2 import Any as AnyMessage

from apps.control_plane.snapshot import InconsistentSnapshot, Resource, Snapshot
from apps.control_plane.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE, SCOPED_ROUTE


def test_a_resource_is_its_any_and_equal_content_has_an_equal_version(make: Any) -> None:
    one, same, other = (Snapshot.of({CLUSTER: {"a": make.cluster("a", timeout=timeout)}}) for timeout in (1, 1, 2))
    assert one.version(CLUSTER) == same.version(CLUSTER) != other.version(CLUSTER)
    resource = one.resources(CLUSTER)["a"]
    assert AnyMessage.FromString(resource.payload).type_url == CLUSTER
    assert len(one.resources(ENDPOINT)) == 0


def test_a_resource_made_before_is_taken_as_it_is(make: Any) -> None:
    resource = Resource.of("a", make.cluster("a"))
    assert Snapshot.of({CLUSTER: {"a": resource}}).resources(CLUSTER)["a"] is resource


def test_an_unknown_type_a_wrong_type_and_a_wrong_name_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="unknown resource type 'x'"):
        Snapshot.of({"x": {}})
    with pytest.raises(ValueError, match=r"is a type\.googleapis\.com/envoy\.config\.cluster\.v3\.Cluster, not a"):
        Snapshot.of({LISTENER: {"a": make.cluster("a")}})
    with pytest.raises(ValueError, match="Cluster 'b' calls itself 'a'"):
        Snapshot.of({CLUSTER: {"b": make.cluster("a")}})


def test_144_a_whole_mesh_and_the_local_cluster_s_endpoints_are_consistent(make: Any) -> None:
    mesh = make.mesh()
    mesh[ENDPOINT]["mesh.local"] = make.endpoints("mesh.local", 1)
    Snapshot.of(mesh).check_consistent()


FAULTS: dict[str, Callable[[Any, Any], Any]] = {
    "ClusterLoadAssignment 'ghost' is named by nothing in the snapshot": lambda mesh, make: mesh[ENDPOINT].update(
        ghost=make.endpoints("ghost", 1)
    ),
    "Cluster 'service-1' names ClusterLoadAssignment 'service-1', which is missing": lambda mesh, make: mesh[ENDPOINT].pop("service-1"),
    "Listener 'egress' names RouteConfiguration 'egress', which is missing": lambda mesh, make: mesh[ROUTE].clear(),
    "RouteConfiguration 'spare' is named by nothing in the snapshot": lambda mesh, make: mesh[ROUTE].update(
        spare=make.route("spare", "service-1")
    ),
    "ScopedRouteConfiguration 's' names RouteConfiguration 'none', which is missing": lambda mesh, make: mesh.update(
        {SCOPED_ROUTE: {"s": ScopedRouteConfiguration(name="s", route_configuration_name="none")}}
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_144_each_inconsistency_is_refused_by_name(fault: str, make: Any) -> None:
    mesh = make.mesh()
    FAULTS[fault](mesh, make)
    with pytest.raises(InconsistentSnapshot) as caught:
        Snapshot.of(mesh).check_consistent()
    assert caught.value.faults == [fault]


def test_144_a_cluster_s_service_name_is_what_it_refers_to(make: Any) -> None:
    cluster = make.cluster("blue")
    cluster.eds_cluster_config.service_name = "green"
    Snapshot.of({CLUSTER: {"blue": cluster}, ENDPOINT: {"green": make.endpoints("green", 1)}}).check_consistent()


def test_all_faults_are_named_at_once(make: Any) -> None:
    mesh = make.mesh()
    mesh[ENDPOINT].clear()
    mesh[ROUTE].clear()
    with pytest.raises(InconsistentSnapshot) as caught:
        Snapshot.of(mesh).check_consistent()
    assert len(caught.value.faults) == 3
