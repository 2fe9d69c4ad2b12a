"""What a route in maintenance is built into; what clients see of it is in test_browser_protection and test_bridge_guards."""

from pathlib import Path
from typing import Any

import pytest
from envoy.extensions.filters.http.fault.v3.fault_pb2 import HTTPFault

from apps.control_plane.model import World
from apps.control_plane.resources import routes
from model.proto_files import compile_proto

LIMITS = [{"requests": 5, "by": "claim:sub"}]
AUTH = {"issuer": "https://login.example.com", "jwks": "https://login.example.com/keys", "audiences": ["mesh"]}
GUARDED = {"prefix": "/shop", "auth": "jwt", "rateLimits": LIMITS, "csrf": {}, "cors": {"origins": ["*"]}, "websocket": True}


def built(spec_of: Any, **more: Any) -> list[Any]:
    spec = spec_of(edge={"auth": AUTH}, shop={"routes": [GUARDED | more]})
    (host,) = routes.edge(World(spec=spec, stack="test")).virtual_hosts
    return [route for route in host.routes if route.name.startswith("shop:")]


def test_a_guarded_route_asks_for_all_that_it_says(spec_of: Any) -> None:
    for route in built(spec_of):
        assert route.HasField("route")
        assert {"envoy.filters.http.jwt_authn", "envoy.filters.http.csrf", "envoy.filters.http.cors"} <= set(route.typed_per_filter_config)
        assert "mesh.rate_limits" in route.metadata.filter_metadata


def test_in_maintenance_it_asks_for_nothing_and_scripts_can_read_so(spec_of: Any) -> None:
    routes_built = built(spec_of, maintenance=True)
    assert routes_built
    for route in routes_built:
        assert set(route.typed_per_filter_config) == {"envoy.filters.http.cors", "envoy.filters.http.fault", "mesh.security_headers"}
        assert not route.metadata.filter_metadata


@pytest.mark.parametrize("table", [routes.edge, routes.outer])
def test_a_bridge_in_maintenance_is_so_on_all_its_paths_at_outer_edges_too(spec_of: Any, table: Any) -> None:
    bridge = {"prefix": "/shelf", "proto": "shelf.proto", "maintenance": True, "auth": "jwt"}
    spec = spec_of(edge={"auth": AUTH}, shelf={"protocol": "grpc", "bridge": bridge})
    descriptors = {"shelf": compile_proto(Path(__file__).parent, "shelf.proto")}
    (host,) = table(World(spec=spec, stack="test", descriptors=descriptors)).virtual_hosts
    found = {route.name: route for route in host.routes if route.name.startswith("shelf:")}
    assert set(found) == {"shelf:/test.shelf.v1.Shelf", "shelf:/shelf"}
    for route in found.values():
        fault = HTTPFault()
        assert route.typed_per_filter_config["envoy.filters.http.fault"].Unpack(fault)
        assert fault.abort.http_status == 503
        assert "envoy.filters.http.jwt_authn" not in route.typed_per_filter_config
