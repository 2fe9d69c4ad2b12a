"""A browser logs in through an outer edge, against the built-in provider as a process of its own."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from apps.control_plane.model import Issuer, LoginSecrets
from model.contract import Role
from tests.apps.control_plane.resources.test_login import CLIENT_SECRET, HTTP, PAGE, edge_of, logged_in, start_provider

pytestmark = [pytest.mark.envoy, pytest.mark.slow]


@pytest.fixture
def double(double_of: Any, tmp_path: Path) -> Iterator[Any]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        issuer = f"http://127.0.0.1:{probe.getsockname()[1]}"
    double = double_of(edge=edge_of(issuer), web=HTTP | {"routes": [{"prefix": "/desk", "auth": "login"}]})
    double.add_edges(origin=2)
    double.lab.add(Role.SERVICE, "web")
    double.lab.known = {
        "issuer": Issuer(
            issuer=issuer, jwks_uri=f"{issuer}/jwks", authorization_endpoint=f"{issuer}/authorize", token_endpoint=f"{issuer}/token"
        ),
        "login_secrets": LoginSecrets(client_secret=CLIENT_SECRET, cookie_key="key of the cookies, 32 letters.."),
    }
    keys = tmp_path / "keys.pem"
    keys.write_bytes(ECKey.generate_key("P-256").as_pem(private=True))
    callback = f"https://{double.outers[0]}:8443/oauth2/callback"
    provider = start_provider(issuer, int(issuer.rpartition(":")[2]), keys, callback)
    try:
        double.lab.start()
        yield double
    finally:
        provider.terminate()
        provider.wait(20)


def test_a_login_begins_and_ends_at_the_outer_edges_address_and_is_the_origins(double: Any) -> None:
    """Acceptance 43: each request of it may pass another edge of the origin; the outer edge has neither filter nor secret of it."""
    with double.client(headers=PAGE) as browser:
        back = logged_in(browser, "/desk/x?a=1")
        assert back.headers["location"] == f"https://{double.outers[0]}:8443/desk/x?a=1"
        answers = [browser.get(back.headers["location"]) for _ in range(4)]
        assert [answer.json()["headers"]["x-user"] for answer in answers] == ["ann"] * 4
        assert browser.get("/oauth2/logout").status_code == 302
        assert browser.get("/desk/x").status_code == 302
    assert double.count("http.edge-origin.oauth_success", *double.edges) == 5, "the login, and each request with its cookies"
    assert not [name for name in double.lab.statistics(double.outers[0]) if "oauth" in name]
