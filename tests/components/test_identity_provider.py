"""The built-in issuer and the secrets of logins, as the program declares them."""

from collections.abc import Callable
from typing import Any

import pytest

from components import firewall_rules
from components.firewall_rules import Rule
from model.read import read_mesh

PARAMETER = "aws:ssm/parameter:Parameter"
LOGIN = "/envoy-mesh/dev/edge/login"
EXTERNAL = {
    "issuer": "https://login.example.com",
    "audiences": ["mesh"],
    "login": {"clientId": "mesh-edge", "clientSecret": "/team/oauth-secret"},
}


def policy(program: Any, role: str) -> str:
    return str(program.one("aws:iam/rolePolicy:RolePolicy", f"{role}-policy").inputs["policy"])


def own_parameters(program: Any) -> set[str]:
    return {parameter.inputs["name"] for parameter in program.of(PARAMETER) if "/edge/login/" in parameter.inputs["name"]}


def test_the_issuer_is_one_fixed_machine_with_its_secrets_in_ssm(dev: Any) -> None:
    assert own_parameters(dev) == {f"{LOGIN}/{item}" for item in ("cookie-key", "client-secret", "password", "signing-key")}
    assert {parameter.inputs["type"] for parameter in dev.of(PARAMETER)} == {"SecureString"}
    group = dev.one("aws:autoscaling/group:Group", "identity-group")
    tags = {tag["key"]: tag["value"] for tag in group.inputs["tags"]}
    assert (tags["mesh:role"], tags["mesh:address"]) == ("identity", "10.20.56.11")


def test_each_role_reads_only_what_is_its_own(dev: Any) -> None:
    read_by_issuer = {
        item for item in ("cookie-key", "client-secret", "password", "signing-key") if f"{LOGIN}/{item}" in policy(dev, "identity")
    }
    assert read_by_issuer == {"client-secret", "password", "signing-key"}
    plane = policy(dev, "control-plane")
    assert {item for item in ("cookie-key", "client-secret") if f"{LOGIN}/{item}" in plane} == {"cookie-key", "client-secret"}
    assert f"{LOGIN}/signing-key" not in plane
    assert "edge/login" not in policy(dev, "edge")


def test_a_login_at_an_issuer_outside_needs_a_key_for_cookies_and_no_machine(
    run: Callable[..., Any], configs: Callable[[str], dict[str, Any]]
) -> None:
    config = configs("dev")
    config["envoy-mesh:mesh"]["edge"]["auth"] = EXTERNAL
    program = run(config, stack="dev")
    assert own_parameters(program) == {f"{LOGIN}/cookie-key"}
    assert not [resource for resource in program.resources if resource.name.startswith("identity")]
    assert "/team/oauth-secret" in policy(program, "control-plane")
    assert f"{LOGIN}/client-secret" not in policy(program, "control-plane")


@pytest.mark.parametrize(("issuer", "reached"), [("builtin", True), (None, False)])
def test_only_edges_reach_the_issuer(configs: Callable[[str], dict[str, Any]], issuer: str | None, reached: bool) -> None:
    data = configs("dev")["envoy-mesh:mesh"]
    if issuer is None:
        del data["edge"]["auth"]
        data["services"]["service-2"]["routes"] = [{"prefix": "/service-2"}]
    mesh = read_mesh(data)
    to_issuer = {rule for rule in firewall_rules.rules(mesh) if rule.callee == "identity"}
    assert to_issuer == ({Rule("edge", "identity", 8080)} if reached else set())
    assert ("identity" in firewall_rules.groups(mesh)) is reached
