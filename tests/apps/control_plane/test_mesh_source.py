"""Snapshots are built when what they depend on changed, and only then; bad ones are never served."""

from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from apps.control_plane import mesh_source, type_urls
from apps.control_plane.build import resources_for
from apps.control_plane.mesh_source import MeshSource
from apps.control_plane.metrics import Metrics
from apps.control_plane.model import Endpoint, EndpointState, Issuer, LoginSecrets, TlsKeyPair, World
from apps.control_plane.node import Node
from apps.control_plane.snapshot import Snapshot
from apps.control_plane.status import Behind
from model.contract import NodeId, Role
from model.edge import OuterSpec
from model.spec import MeshSpec

IMAGE = {"build": "apps/http_service"}
MESH: dict[str, Any] = {
    "domain": "t.internal",
    "network": {"cidr": "127.20.0.0/16"},
    "services": {
        "front": {"image": IMAGE, "port": 8080, "routes": [{"prefix": "/front"}], "calls": ["back"]},
        "back": {"image": IMAGE, "port": 8080},
        "other": {"image": IMAGE, "port": 8080, "routes": [{"prefix": "/other"}]},
    },
}
TLS = TlsKeyPair(chain="c", key="k")


def node(role: Role, service: str, number: int = 1) -> Node:
    address = f"127.20.0.{number}"
    return Node(NodeId(role, service, f"i-{number}"), {"address": address, "loopback": address, "zone": "a"})


def machine(service: str, number: int, state: EndpointState = EndpointState.SERVING) -> Endpoint:
    role = Role.EDGE if service == "edge" else Role.SERVICE
    return Endpoint(instance=f"i-{number}", role=role, service=service, address=f"127.20.1.{number}", zone="a", state=state)


def world(*endpoints: Endpoint, tls: TlsKeyPair | None = TLS, **services: Any) -> World:
    spec = MeshSpec.model_validate({**MESH, "services": {**MESH["services"], **services}})
    return World(spec=spec, stack="t", endpoints=endpoints, edge_tls=tls)


EDGE, FRONT, BACK = node(Role.EDGE, "edge"), node(Role.SERVICE, "front", 2), node(Role.SERVICE, "back", 3)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def source(registry: CollectorRegistry) -> MeshSource:
    return MeshSource(metrics=Metrics(registry=registry))


def refused(registry: CollectorRegistry, role: str, service: str) -> float:
    return registry.get_sample_value("mesh_control_plane_snapshots_refused_total", {"role": role, "service": service}) or 0.0


def test_nothing_is_served_before_the_first_world(source: MeshSource) -> None:
    assert source.snapshot_for(EDGE) is None


def test_asking_again_builds_nothing(source: MeshSource) -> None:
    source.show(world(machine("front", 1)))
    assert source.snapshot_for(EDGE) is source.snapshot_for(EDGE)
    assert source.snapshot_for(EDGE) is not None


def test_only_nodes_that_depend_on_a_changed_group_are_built_anew(source: MeshSource) -> None:
    source.show(world(machine("front", 1), machine("back", 2)))
    before = {item.id.service: source.snapshot_for(item) for item in (EDGE, FRONT, BACK)}
    source.show(world(machine("front", 1), machine("back", 2, EndpointState.DRAINING)))
    after = {item.id.service: source.snapshot_for(item) for item in (EDGE, FRONT, BACK)}
    assert after["edge"] is before["edge"]
    assert after["front"] is not before["front"]
    assert after["back"] is not before["back"]
    unchanged = [url for url in type_urls.PUSH_ORDER if after["front"].version(url) == before["front"].version(url)]  # type: ignore[union-attr]
    assert set(type_urls.PUSH_ORDER) - set(unchanged) == {type_urls.ENDPOINT}


@pytest.mark.parametrize("item", [EDGE, FRONT, BACK])
def test_where_machines_alone_changed_all_else_is_kept_and_the_whole_is_what_it_would_be(source: MeshSource, item: Node) -> None:
    source.show(world(machine("front", 1), machine("back", 2), machine("edge", 3)))
    before = source.snapshot_for(item)
    later = world(machine("front", 1), machine("front", 4), machine("back", 2, EndpointState.DRAINING), machine("back", 5))
    source.show(later)
    after = source.snapshot_for(item)
    assert before is not None
    assert after is not None
    whole = Snapshot.of(resources_for(later, item))
    assert {url: after.version(url) for url in type_urls.PUSH_ORDER} == {url: whole.version(url) for url in type_urls.PUSH_ORDER}
    kept = {url for url in type_urls.PUSH_ORDER if after.resources(url) is before.resources(url)}
    assert set(type_urls.PUSH_ORDER) - kept == {type_urls.ENDPOINT}


def test_endpoints_are_never_put_into_a_snapshot_of_an_earlier_intent(
    source: MeshSource, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.show(world(machine("front", 1)))
    source.snapshot_for(FRONT)
    with monkeypatch.context() as patch:
        patch.setattr(mesh_source.Builder, "resources_for", lambda _builder, _node: 1 / 0)
        source.show(world(machine("front", 1), front=MESH["services"]["front"] | {"calls": ["other"]}))
        source.snapshot_for(FRONT)
    assert refused(registry, "service", "front") == 1
    assert source.behind == {FRONT: Behind(reason="what was built for it is refused: ZeroDivisionError: division by zero", keeps=True)}
    later = world(machine("front", 1), machine("other", 2), front=MESH["services"]["front"] | {"calls": ["other"]})
    source.show(later)
    found = source.snapshot_for(FRONT)
    assert found is not None
    assert source.behind == {}
    assert found.version(type_urls.CLUSTER) == Snapshot.of(resources_for(later, FRONT)).version(type_urls.CLUSTER)


def test_an_edge_that_joins_concerns_outer_edges_and_no_service(source: MeshSource) -> None:
    outer = node(Role.OUTER_EDGE, "us-east-1", 4)
    source.show(beyond(world(machine("edge", 1))))
    before = {item: source.snapshot_for(item) for item in (outer, FRONT)}
    source.show(beyond(world(machine("edge", 1), machine("edge", 2))))
    assert source.snapshot_for(outer) is not before[outer]
    assert source.snapshot_for(FRONT) is before[FRONT]
    joined = source.snapshot_for(outer)
    source.show(beyond(world(machine("edge", 1), machine("edge", 2), machine("front", 3))))
    assert source.snapshot_for(outer) is joined


def beyond(inner: World) -> World:
    """The same with outer edges."""
    region = OuterSpec.model_validate({"region": "us-east-1", "cidr": "127.21.0.0/16"})
    edge = inner.spec.edge.model_copy(update={"outer": [region]})
    return replace(inner, spec=inner.spec.model_copy(update={"edge": edge}))


def test_a_new_certificate_concerns_edges_only(source: MeshSource) -> None:
    source.show(world(machine("front", 1)))
    before = {item.id.service: source.snapshot_for(item) for item in (EDGE, FRONT)}
    source.show(world(machine("front", 1), tls=TlsKeyPair(chain="c2", key="k2")))
    assert source.snapshot_for(EDGE) is not before["edge"]
    assert source.snapshot_for(FRONT) is before["front"]


@pytest.mark.parametrize(
    "known", [{"issuer": Issuer(issuer="i", jwks_uri="j")}, {"login_secrets": LoginSecrets(client_secret="c", cookie_key="k")}]
)
def test_an_issuer_and_the_secrets_of_logins_concern_edges_only(source: MeshSource, known: dict[str, Any]) -> None:
    first = world(machine("front", 1))
    source.show(first)
    before = {item.id.service: source.snapshot_for(item) for item in (EDGE, FRONT)}
    source.show(replace(first, **known))
    assert source.snapshot_for(EDGE) is not before["edge"]
    assert source.snapshot_for(FRONT) is before["front"]


def test_subscribers_hear_of_a_change_and_of_nothing_else(source: MeshSource) -> None:
    heard: list[int] = []
    source.subscribe(lambda: heard.append(1))
    source.show(world(machine("front", 1)))
    source.show(world(machine("front", 1)))
    source.show(world())
    assert len(heard) == 2


def test_messages_that_nodes_share_are_serialised_once(source: MeshSource) -> None:
    source.show(world(machine("front", 1), machine("back", 2)))
    one, two = source.snapshot_for(node(Role.EDGE, "edge", 7)), source.snapshot_for(node(Role.EDGE, "edge", 8))
    assert one is not None
    assert two is not None
    for url in (type_urls.CLUSTER, type_urls.ENDPOINT, type_urls.ROUTE):
        assert all(one.resources(url)[name] is two.resources(url)[name] for name in one.resources(url))


def test_an_edge_waits_for_its_certificate_and_keeps_it(source: MeshSource, registry: CollectorRegistry) -> None:
    source.show(world(tls=None))
    assert source.snapshot_for(EDGE) is None
    assert refused(registry, "edge", "edge") == 1
    assert not source.behind[EDGE].keeps
    source.show(world())
    served = source.snapshot_for(EDGE)
    assert served is not None
    source.show(world(machine("front", 1), tls=None))
    assert source.snapshot_for(EDGE) is served
    assert refused(registry, "edge", "edge") == 2


def test_a_builder_that_breaks_costs_nobody_their_configuration(
    source: MeshSource, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.show(world(machine("front", 1)))
    served = source.snapshot_for(FRONT)

    def broken(_builder: object, _node: Node, _wanted: object) -> None:
        raise KeyError("gone")

    monkeypatch.setattr(mesh_source.Builder, "endpoints_for", broken)
    source.show(world(machine("front", 1), machine("back", 2)))
    assert source.snapshot_for(FRONT) is served
    assert source.snapshot_for(FRONT) is served
    assert refused(registry, "service", "front") == 1
    monkeypatch.undo()
    source.show(world(machine("front", 1), machine("back", 2), machine("back", 3)))
    assert source.snapshot_for(FRONT) is not served


def test_a_node_of_a_removed_service_keeps_what_it_has_and_a_stranger_gets_nothing(source: MeshSource) -> None:
    extra = {"image": IMAGE, "port": 8080}
    source.show(world(extra=extra))
    leaving = node(Role.SERVICE, "extra")
    served = source.snapshot_for(leaving)
    assert served is not None
    source.show(world())
    assert source.snapshot_for(leaving) is served
    assert source.snapshot_for(node(Role.SERVICE, "stranger")) is None


def test_what_nobody_asks_for_any_more_is_forgotten(source: MeshSource) -> None:
    source.show(world())
    source.snapshot_for(FRONT)
    for number in range(1, 4):
        source.show(world(machine("front", number)))
        source.snapshot_for(EDGE)
    assert len(source._now) == 1
    assert len(source._before) == 1
