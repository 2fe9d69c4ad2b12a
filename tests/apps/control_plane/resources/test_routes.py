"""Route configurations, without an Envoy."""

from pathlib import Path
from typing import Any

import pytest
from envoy.config.route.v3.route_components_pb2 import RedirectAction, Route
from envoy.config.route.v3.route_pb2 import RouteConfiguration

from apps.control_plane.model import World
from apps.control_plane.resources import routes
from model.proto_files import compile_proto
from model.spec import MeshSpec

REPLAYED = {"reset", "gateway-error", "5xx", "retriable-status-codes"}


def world(spec: MeshSpec) -> World:
    return World(spec=spec, stack="test")


def to_services(configuration: RouteConfiguration) -> list[Route]:
    """The routes of the first virtual host that lead to a service."""
    return [route for route in configuration.virtual_hosts[0].routes if route.HasField("route")]


def test_longer_prefixes_come_first_whatever_the_order_of_services(spec_of: Any) -> None:
    spec = spec_of(a={"routes": [{"prefix": "/"}, {"prefix": "/x/y"}]}, b={"routes": [{"prefix": "/x"}, {"prefix": "/x/y/z"}]})
    found = to_services(routes.edge(world(spec)))
    prefixes = [route.match.path_separated_prefix or route.match.prefix for route in found]
    assert prefixes == ["/x/y/z", "/x/y/z", "/x/y", "/x/y", "/x", "/x", "/", "/"]


def test_a_bridges_native_path_stands_among_all_routes_by_its_own_length(spec_of: Any) -> None:
    bridge = {"protocol": "grpc", "bridge": {"prefix": "/s", "proto": "shelf.proto"}}
    web = {"routes": [{"prefix": "/"}, {"prefix": "/test.shelf.v1"}, {"prefix": "/longer/than/its/native/path"}]}
    spec = spec_of(shelf=bridge, web=web)
    descriptors = {"shelf": compile_proto(Path(__file__).parent, "shelf.proto")}
    found = to_services(routes.edge(World(spec=spec, stack="test", descriptors=descriptors)))
    prefixes = [route.match.path_separated_prefix or route.match.prefix for route in found]
    assert list(dict.fromkeys(prefixes)) == ["/longer/than/its/native/path", "/test.shelf.v1.Shelf/", "/test.shelf.v1", "/s", "/"]


def test_only_idempotent_methods_may_be_sent_again_after_reaching_an_app(spec_of: Any) -> None:
    spec = spec_of(web={"routes": [{"prefix": "/web"}]}, caller={"calls": ["web"]})
    for configuration in (routes.edge(world(spec)), routes.egress(spec, ["web"])):
        first, second = to_services(configuration)
        (header,) = first.match.headers
        assert header.name == ":method"
        assert set(header.string_match.safe_regex.regex.split("|")) == {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"}
        assert set(first.route.retry_policy.retry_on.split(",")) == {"connect-failure", "refused-stream", "reset", "gateway-error"}
        assert not second.match.headers
        assert set(second.route.retry_policy.retry_on.split(",")) == {"connect-failure", "refused-stream"}


def test_a_retry_goes_to_another_machine(spec_of: Any) -> None:
    policy = to_services(routes.edge(world(spec_of(web={"routes": [{"prefix": "/web"}]}))))[0].route.retry_policy
    assert [predicate.name for predicate in policy.retry_host_predicate] == ["envoy.retry_host_predicates.previous_hosts"]
    assert policy.host_selection_retry_max_attempts > 1
    assert policy.retry_back_off.base_interval.nanos > 0


def test_a_grpc_call_has_its_clients_deadline_and_is_never_replayed(spec_of: Any) -> None:
    spec = spec_of(info={"protocol": "grpc"}, caller={"calls": ["info"]})
    (route,) = routes.egress(spec, ["info"]).virtual_hosts[0].routes
    assert route.route.timeout.ToSeconds() == 0
    assert route.route.max_stream_duration.HasField("grpc_timeout_header_max")
    assert not REPLAYED & set(route.route.retry_policy.retry_on.split(","))


def test_the_ingress_retries_only_what_never_reached_the_app(spec_of: Any) -> None:
    spec = spec_of(web={})
    (route,) = routes.ingress(spec.services["web"]).virtual_hosts[0].routes
    assert route.route.retry_policy.retry_on == "connect-failure"
    assert route.route.timeout.ToSeconds() == 0


@pytest.mark.parametrize(("https", "named"), [(443, 0), (8443, 8443)])
def test_a_redirect_names_the_port_unless_it_is_the_usual_one(https: int, named: int) -> None:
    (host,) = routes.redirect(https).virtual_hosts
    _, route = host.routes
    assert (route.redirect.https_redirect, route.redirect.port_redirect) == (True, named)
    assert route.redirect.response_code == RedirectAction.MOVED_PERMANENTLY


@pytest.mark.parametrize(("prefix", "regex"), [("/a.b", r"^/a\.b/?"), ("/$x+(y)", r"^/\$x\+\(y\)/?")])
def test_a_prefix_is_stripped_literally(spec_of: Any, prefix: str, regex: str) -> None:
    route = to_services(routes.edge(world(spec_of(web={"routes": [{"prefix": prefix}]}))))[0]
    assert route.route.regex_rewrite.pattern.regex == regex


def test_egress_knows_a_service_by_two_names_and_any_port(spec_of: Any) -> None:
    configuration = routes.egress(spec_of(web={}, caller={"calls": ["web"]}), ["web"])
    assert [list(host.domains) for host in configuration.virtual_hosts] == [["web", "web.dev.mesh.internal"]]
    assert configuration.ignore_port_in_host_matching
