"""The arrows of a mesh as rules: the ones of the picture, and no other."""

from typing import Any

import pytest

from components.firewall_rules import Rule, groups, groups_of, rules
from model.contract import Role
from model.read import read_mesh
from model.spec import MeshSpec


def mesh(**changes: Any) -> MeshSpec:
    base: dict[str, Any] = {
        "domain": "dev.mesh.internal",
        "network": {"cidr": "10.20.0.0/16"},
        "machines": {"ami": "ami-0123456789abcdef0"},
        "services": {
            "web": {
                "image": {"build": "apps/web"},
                "port": 8080,
                "routes": [{"prefix": "/"}],
                "calls": ["api", "postgres"],
                "metrics": "/metrics",
            },
            "api": {"image": {"build": "apps/api"}, "port": 50051, "protocol": "grpc", "calls": ["postgres"]},
            "job": {"image": {"build": "apps/job"}, "port": 8080, "metrics": "/metrics"},
        },
        "database": {"engine": "postgres"},
    }
    return read_mesh({**base, **changes})


MATRIX = """
internet      edge          80
internet      edge          443
edge          service-web   8000
service-web   service-api   8000
service-web   database      5432
service-api   database      5432
envoy         control-plane 18000
control-plane envoy         9902
control-plane control-plane 18001
monitoring    envoy         9902
monitoring    control-plane 18001
monitoring    service-web   8000
monitoring    service-job   8000
machine       internet      80
machine       internet      443
"""


def read(matrix: str) -> set[Rule]:
    return {Rule(caller, callee, int(port)) for caller, callee, port in (line.split() for line in matrix.strip().splitlines())}


def test_the_rules_are_the_arrows_of_the_picture_and_no_others() -> None:
    assert set(rules(mesh())) == read(MATRIX)


def test_rules_come_sorted_and_once() -> None:
    wanted = rules(mesh())
    assert wanted == sorted(set(wanted))


def test_without_nat_only_the_edge_reaches_the_internet() -> None:
    wanted = rules(mesh(network={"cidr": "10.20.0.0/16", "nat": "none"}))
    outside = {(rule.caller, rule.callee) for rule in wanted if rule.callee in ("internet", "aws", "endpoints")}
    assert outside == {("edge", "internet"), ("machine", "aws"), ("machine", "endpoints")}


def test_the_edges_own_ports_are_the_open_ones() -> None:
    opened = {rule.port for rule in rules(mesh(edge={"https": 8443, "http": 8080})) if rule.caller == "internet"}
    assert opened == {8443, 8080}


def test_without_a_database_there_is_no_group_for_it() -> None:
    services = {"web": {"image": {"build": "apps/web"}, "port": 8080}}
    assert "database" not in groups(mesh(database=None, services=services))


def test_every_rule_is_between_groups_that_exist() -> None:
    for nat in ("none", "single"):
        of = mesh(network={"cidr": "10.20.0.0/16", "nat": nat})
        known = {*groups(of), "internet", "aws"}
        assert {name for rule in rules(of) for name in (rule.caller, rule.callee)} <= known


@pytest.mark.parametrize(
    ("role", "service", "expected"),
    [
        (Role.EDGE, "edge", ["edge", "envoy", "machine"]),
        (Role.SERVICE, "web", ["service-web", "envoy", "machine"]),
        (Role.DATABASE, "postgres", ["database", "envoy", "machine"]),
        (Role.CONTROL_PLANE, "control-plane", ["control-plane", "machine"]),
        (Role.MONITORING, "monitoring", ["monitoring", "machine"]),
    ],
)
def test_a_machine_has_its_own_group_and_those_of_its_kind(role: Role, service: str, expected: list[str]) -> None:
    assert groups_of(role, service) == expected


def many(count: int) -> dict[str, Any]:
    return {f"s{number}": {"image": {"build": "apps/web"}, "port": 8080, "routes": [{"prefix": f"/{number}"}]} for number in range(count)}


def test_more_services_do_not_give_the_control_plane_more_rules() -> None:
    assert sum(rule.callee == "control-plane" for rule in rules(mesh(services=many(40), database=None))) == 3


def test_a_group_with_too_many_rules_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"security group 'edge' needs 61 rules out, the quota is 60: .*rulesPerGroup"):
        rules(mesh(services=many(61), database=None))


def test_a_raised_quota_allows_more() -> None:
    assert rules(mesh(services=many(61), database=None, quotas={"rulesPerGroup": 100}))


def test_the_edge_reaches_the_users_own_services_on_their_ports() -> None:
    edge = {"rateLimitService": {"address": "limits.example.com:8081"}, "authorizer": {"address": "10.20.3.4:9000"}}
    more = set(rules(mesh(edge=edge))) - set(rules(mesh()))
    assert more == {Rule("edge", "internet", 8081), Rule("edge", "internet", 9000)}
