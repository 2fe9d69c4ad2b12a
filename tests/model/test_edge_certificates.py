"""Which certificates an edge has, what they are for, and where they lie."""

from typing import Any

from model.edge_certificates import DEFAULT, domains_of, is_for, parameters_of, paths_of, renewed_parameters
from model.read import read_mesh
from model.spec import MeshSpec


def mesh(tls: dict[str, Any], *domains: str) -> MeshSpec:
    web = {"image": {"ref": "web:1"}, "port": 8080, "routes": [{"prefix": "/"}, {"prefix": "/w", "domains": list(domains)}]}
    return read_mesh(
        {
            "domain": "t.internal",
            "network": {"cidr": "10.20.0.0/16"},
            "machines": {"ami": "ami-0123456789abcdef0"},
            "edge": {"tls": tls},
            "services": {"web": web},
        }
    )


def test_a_star_is_one_label_and_no_more() -> None:
    assert is_for("a.example.com", "a.example.com")
    assert is_for("*.example.com", "a.example.com")
    for other in ("example.com", "a.b.example.com", "aexample.com"):
        assert not is_for("*.example.com", other)


def test_the_stacks_own_certificate_is_read_unless_the_config_names_one() -> None:
    assert parameters_of(mesh({}), stack="t") == ["/envoy-mesh/t/edge-tls/certificate", "/envoy-mesh/t/edge-tls/key"]
    assert paths_of(mesh({"mode": "secret", "secret": "/team/edge"}), stack="t") == {DEFAULT: "/team/edge"}


def test_in_mode_acme_control_planes_read_and_write_the_certificate_and_the_accounts_key() -> None:
    acme = {"email": "ops@example.com", "directory": "https://acme.example.com", "domains": ["shop.example.com", "www.example.com"]}
    spec = mesh({"mode": "acme", "acme": acme}, "shop.example.com")
    assert domains_of(spec) == {DEFAULT: ["shop.example.com", "www.example.com"]}
    assert renewed_parameters(spec, stack="t") == parameters_of(spec, stack="t")
    assert not renewed_parameters(mesh({}), stack="t")
    assert parameters_of(spec, stack="t") == [f"/envoy-mesh/t/edge/acme/{item}" for item in ("certificate", "key", "account")]


def test_the_default_certificate_is_for_the_domains_that_have_none_of_their_own() -> None:
    shop = {"domains": ["shop.example.com", "www.example.com"], "secret": "/team/shop"}
    several = mesh({"mode": "secret", "secret": "/team/edge", "certificates": [shop]}, "shop.example.com", "pay.example.com")
    assert domains_of(several) == {DEFAULT: ["pay.example.com"], "/team/shop": ["shop.example.com", "www.example.com"]}
    assert paths_of(several, stack="t") == {DEFAULT: "/team/edge", "/team/shop": "/team/shop"}
