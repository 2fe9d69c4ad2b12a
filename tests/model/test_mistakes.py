"""Every kind of mistake that a stack config can hold, with the message that its writer gets.

Each row of `mistakes` and `word_mistakes` changes one place of a good config;
the message must name the place, show the value, say the rule and a fix.
"""

import copy
from typing import Any

import pytest

from model.problems import ConfigError
from model.read import read_mesh
from tests.model.mistakes import ACME, GOOD, ISSUER, MISTAKES, REMOVED, WEB
from tests.model.word_mistakes import WORD_MISTAKES


def changed(place: str, value: Any) -> dict[str, Any]:
    """The good config with one place set to `value`, or taken out."""
    config: dict[str, Any] = copy.deepcopy(GOOD)
    *parents, last = place.split(".") if not place.startswith("services.") else ["services", *place[len("services.") :].split(".")]
    target = config
    for parent in parents:
        target = target[parent]
    if value is REMOVED:
        del target[last]
    else:
        target[last] = value
    return config


def test_the_good_config_is_good() -> None:
    mesh = read_mesh(GOOD)
    assert mesh.services["web"].image.local_command == "python -m apps.http_service"
    assert read_mesh(mesh.document()) == mesh


@pytest.mark.parametrize(("place", "value", "path", "rule", "fix"), [*MISTAKES, *WORD_MISTAKES])
def test_a_mistake_is_named_with_its_place_value_rule_and_fix(place: str, value: Any, path: str, rule: str, fix: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_mesh(changed(place, value), region="eu-central-1")
    found = [problem for problem in caught.value.problems if problem.path == path]
    assert found, f"no problem at {path}: {caught.value}"
    problem = next((problem for problem in found if rule in problem.rule), found[0])
    assert rule in problem.rule
    assert fix in problem.fix
    assert problem.value
    assert str(problem) in str(caught.value)


def test_all_mistakes_are_told_at_once_also_those_between_values_that_are_right_in_themselves() -> None:
    config = changed("domain", "mesh")
    config["services"]["web"] |= {"port": "x", "replicas": {"min": 5, "max": 1}}
    config["services"]["api"]["calls"] = ["nobody"]
    with pytest.raises(ConfigError) as caught:
        read_mesh(config)
    assert [problem.path for problem in caught.value.problems] == [
        "mesh.domain",
        "mesh.services.api.calls[0]",
        "mesh.services.web.port",
        "mesh.services.web.replicas",
    ]


def test_outer_edges_of_a_local_stack_live_on_loopback_too_and_need_no_image() -> None:
    config = changed("edge.outer", [{"region": "us-east-1", "cidr": "127.21.0.0/16"}])
    config["network"] = {"cidr": "127.20.0.0/16"}
    for service in config["services"].values():
        service["image"] = {"build": "apps/http_service"}
    assert read_mesh(config, local=True).edge.outer[0].instances == 2
    config["edge"]["outer"][0]["cidr"] = "10.30.0.0/16"
    with pytest.raises(ConfigError, match=r"mesh\.edge\.outer\[0\]\.cidr = 10\.30\.0\.0/16: a local stack's machines live on loopback"):
        read_mesh(config, local=True)


def test_outer_edges_need_a_way_to_the_apis_of_their_regions() -> None:
    config = changed("edge.outer", [{"region": "us-east-1", "cidr": "10.30.0.0/16", "ami": "ami-0123456789abcdef0"}])
    assert read_mesh(config).edge.outer
    config["network"]["nat"] = "none"
    with pytest.raises(ConfigError, match=r"mesh\.edge\.outer = us-east-1: .* without NAT .* `network: \{nat: single\}`"):
        read_mesh(config)


def test_an_acme_stack_reaches_its_authority_and_serves_only_domains_that_it_orders() -> None:
    config = changed("edge.tls", {"mode": "acme", "acme": ACME})
    config["services"]["web"]["routes"] = [{"prefix": "/w", "domains": ["a.example.com"]}]
    assert read_mesh(config).edge.tls.mode == "acme"
    config["services"]["web"]["routes"][0]["domains"] = ["b.example.com"]
    with pytest.raises(ConfigError, match=r"no certificate of the edge .* add it to mesh\.edge\.tls\.acme\.domains"):
        read_mesh(config)
    config["services"]["web"]["routes"][0]["domains"] = []
    config["network"]["nat"] = "none"
    with pytest.raises(ConfigError, match=r"`network\.nat` is none"):
        read_mesh(config)
    config["network"] = {"cidr": "127.20.0.0/16"}
    with pytest.raises(ConfigError, match=r"has no public zone"):
        read_mesh(config, local=True)


def test_a_prefix_may_stand_once_for_each_domain_and_once_for_all_others() -> None:
    config = changed("edge.tls", {"certificates": [{"domains": ["shop.example.com"], "secret": "/team/shop"}]})
    prefix = "/same"
    config["services"]["web"]["routes"] = [{"prefix": prefix}, {"prefix": prefix, "domains": ["dev.mesh.internal"]}]
    config["services"]["api"]["routes"] = [{"prefix": prefix, "domains": ["shop.example.com", "a.dev.mesh.internal"]}]
    assert read_mesh(config).services["api"].routes[0].domains == ["shop.example.com", "a.dev.mesh.internal"]


def test_in_mode_secret_any_domain_may_have_routes_since_only_its_certificate_says_what_it_is_for() -> None:
    config = changed("edge.tls", {"mode": "secret", "secret": "/team/edge-tls"})
    config["services"]["web"]["routes"] = [{"prefix": "/w", "domains": ["shop.example.com"]}]
    assert read_mesh(config).edge.tls.secret == "/team/edge-tls"


def test_two_called_tcp_services_cannot_share_a_port_of_the_callers_loopback() -> None:
    config = changed("services.web.calls", ["queue", "cache"])
    config["services"]["cache"] = {"protocol": "tcp", "image": {"ref": "cache:1"}, "port": 6379}
    with pytest.raises(ConfigError, match=r"TCP port 6379 .* belongs to the TCP service queue"):
        read_mesh(config)


def test_groups_larger_than_the_subnets_are_refused_with_the_sum() -> None:
    config = changed("network.cidr", "10.20.0.0/20")
    for index in range(4):
        config["services"][f"big-{index}"] = {"image": {"ref": "big:1"}, "port": 8080, "replicas": {"min": 1, "max": 100}}
    with pytest.raises(ConfigError, match=r"have 502 addresses, all groups at `max` and in a refresh take 624"):
        read_mesh(config)


def test_routes_keep_off_the_paths_of_logins_and_of_the_builtin_issuer() -> None:
    config = changed("edge.auth", {"issuer": "builtin", "audiences": ["mesh"], "login": {"clientId": "mesh-edge"}})
    config["services"]["web"]["routes"] = [{"prefix": "/identity/x"}, {"prefix": "/oauth2"}, {"prefix": "/identityx", "auth": "login"}]
    with pytest.raises(ConfigError) as caught:
        read_mesh(config)
    assert [problem.path for problem in caught.value.problems] == [f"mesh.{WEB}.routes[0].prefix", f"mesh.{WEB}.routes[1].prefix"]


def test_a_login_needs_a_client_at_the_issuer() -> None:
    config = changed("edge.auth", ISSUER)
    config["services"]["web"]["routes"][0]["auth"] = "login"
    with pytest.raises(ConfigError, match=r"the edge has no login.*clientId"):
        read_mesh(config)


def test_an_issuer_that_control_planes_cannot_reach_is_written_out() -> None:
    config = changed("edge.auth", ISSUER)
    config["network"]["nat"] = "none"
    with pytest.raises(ConfigError, match=r"edge.auth.issuer .* no control plane reaches the issuer"):
        read_mesh(config)
    config["edge"]["auth"] = ISSUER | {"jwks": "https://login.example.com/jwks"}
    read_mesh(config)


@pytest.mark.parametrize(
    "kind", ["t3.small", "g4dn.xlarge", "g6e.xlarge", "gr6.4xlarge", "m7i-flex.large", "c7a.large", "p6-b200.48xlarge", "u-3tb1.56xlarge"]
)
def test_instance_types_with_x86_processors_are_taken(kind: str) -> None:
    assert read_mesh(changed(f"{WEB}.instanceType", kind)).services["web"].instance_type == kind


@pytest.mark.parametrize("kind", ["t4g.nano", "m6gd.large", "im4gn.large", "is4gen.large", "hpc7g.large", "g5g.xlarge", "p6e-gb200.large"])
def test_instance_types_with_arm_processors_are_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match=r"services\.web\.instanceType = .* \(arm64\)"):
        read_mesh(changed(f"{WEB}.instanceType", kind))


@pytest.mark.parametrize("written", ["100y", "5214w", "36500d", "876000h", "15d"])
def test_samples_may_be_kept_for_100_years(written: str) -> None:
    assert read_mesh(changed("observability.prometheus.retention", written)).observability.prometheus.retention == written


@pytest.mark.parametrize(("written", "seconds"), [("1ms", 0.001), ("0.5s", 0.5), ("1.005s", 1.005), ("0.1m", 6.0), ("3599.999s", 3599.999)])
def test_a_time_of_whole_milliseconds_is_taken_as_it_is(written: str, seconds: float) -> None:
    config = changed(f"{WEB}.routes", [{"prefix": "/w", "timeout": written}])
    mesh = read_mesh(config)
    assert mesh.services["web"].routes[0].timeout == seconds
    assert read_mesh(mesh.document()) == mesh


def test_two_services_may_run_one_image() -> None:
    config = changed("services.api.image", {"build": "./apps/http_service"})
    assert read_mesh(config).services["api"].image.build == "apps/http_service"


def test_production_refuses_the_builtin_issuer() -> None:
    config = changed("edge.auth", {"issuer": "builtin", "audiences": ["mesh"]}) | {"production": True}
    with pytest.raises(ConfigError, match=r"edge.auth.issuer = 'builtin': .* everybody in who knows one password"):
        read_mesh(config)


def test_a_local_stack_needs_loopback_and_a_command_for_each_pulled_image() -> None:
    with pytest.raises(ConfigError) as caught:
        read_mesh(GOOD, local=True)
    assert [problem.path for problem in caught.value.problems] == [
        "mesh.network.cidr",
        "mesh.services.api.image",
        "mesh.services.queue.image",
    ]


def test_a_local_stack_has_the_postgres_that_it_has() -> None:
    config = changed("database.version", "17")
    with pytest.raises(ConfigError) as caught:
        read_mesh(config, local=True)
    (problem,) = [problem for problem in caught.value.problems if problem.path == "mesh.database.version"]
    assert "the Postgres of a local stack is 18" in problem.rule


def test_the_databases_version_names_its_image_where_none_is_named() -> None:
    config = changed("database.version", "16")
    assert read_mesh(config).images["postgres"] == "postgres:16"
    config["machines"]["images"] = {"postgres": "registry/postgres-ha:2.1"}
    assert read_mesh(config).images["postgres"] == "registry/postgres-ha:2.1"


@pytest.mark.parametrize("data", [None, [], "mesh", 3])
def test_a_config_that_is_no_mapping_is_refused(data: object) -> None:
    with pytest.raises(ConfigError, match="a mesh is a mapping"):
        read_mesh(data)
