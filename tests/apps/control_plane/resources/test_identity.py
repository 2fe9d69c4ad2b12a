"""The built-in issuer behind a real edge: one origin for browser, edge and issuer."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import ECKey

from apps.control_plane.model import LoginSecrets
from apps.control_plane.resources import identity
from model.contract import Role
from model.identity import callbacks, issuer_url

pytestmark = pytest.mark.envoy
HTTP = {"health": {"path": "/health"}, "port": 9080}
CLIENT_SECRET = "secret of the client, 32 letters"
PASSWORD = "password of everybody"
EDGE = {"https": 8443, "http": 8080}
AUTH = {"issuer": "builtin", "audiences": ["mesh"], "claimsToHeaders": {"x-user": "sub"}, "login": {"clientId": "mesh-edge"}}


@pytest.fixture(scope="module")
def lab(spec_of: Any, lab_of: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    routes = [{"prefix": "/desk", "auth": "login"}, {"prefix": "/api", "auth": "jwt"}]
    lab = lab_of(spec_of(edge=EDGE | {"auth": AUTH}, web=HTTP | {"routes": routes}))
    edge = lab.add(Role.EDGE, "edge")
    lab.add(Role.SERVICE, "web")
    address = lab.add(Role.IDENTITY, "identity")
    lab.known = {"login_secrets": LoginSecrets(client_secret=CLIENT_SECRET, cookie_key="key of the cookies, 32 letters..")}
    keys = tmp_path_factory.mktemp("identity") / "keys.pem"
    keys.write_bytes(ECKey.generate_key("P-256").as_pem(private=True))
    env = {
        **os.environ,
        "HOST": address,
        "PORT": "8080",
        "IDENTITY_ISSUER": issuer_url(lab.spec),
        "IDENTITY_KEYS": str(keys),
        "IDENTITY_AUDIENCES": "mesh",
        "IDENTITY_CLIENT_ID": "mesh-edge",
        "IDENTITY_CLIENT_SECRET": CLIENT_SECRET,
        "IDENTITY_PASSWORD": PASSWORD,
        "IDENTITY_REDIRECTS": " ".join(callbacks(lab.spec, [edge])),
    }
    provider = subprocess.Popen([sys.executable, "-m", "apps.identity"], env=env, cwd=Path(identity.__file__).parents[3])
    try:
        lab.start()
        yield lab
    finally:
        provider.terminate()
        provider.wait(20)


@pytest.fixture
def browser(lab: Any) -> Iterator[httpx.Client]:
    with lab.client(headers={"accept": "text/html"}) as client:
        yield client


def token(client: httpx.Client, **form: str) -> httpx.Response:
    said = {"grant_type": "client_credentials", "client_id": "mesh-edge", "client_secret": CLIENT_SECRET, **form}
    return client.post("/identity/token", data=said)


def test_the_issuer_is_found_through_the_edge_and_names_the_meshs_domain(lab: Any, browser: httpx.Client) -> None:
    document = browser.get("/identity/.well-known/openid-configuration").json()
    assert document["issuer"] == "https://dev.mesh.internal:8443/identity"
    assert document["jwks_uri"] == f"{document['issuer']}/jwks"
    assert browser.get("/identity/jwks").json()["keys"]


def test_a_login_stays_at_the_address_where_it_began(lab: Any, browser: httpx.Client) -> None:
    """Acceptance 40, 42: the whole flow over one origin, which is not the issuer's own."""
    sent = browser.get("/desk/x?a=1")
    assert sent.status_code == 302
    assert sent.headers["location"].startswith("/identity/authorize?client_id=mesh-edge&")
    edge = f"https://{lab.endpoints[0].address}:8443"
    assert parse_qs(urlsplit(sent.headers["location"]).query)["redirect_uri"] == [f"{edge}/oauth2/callback"]
    page = browser.get(sent.headers["location"])
    assert "<form" in page.text
    back = browser.post(sent.headers["location"], data={"username": "ann", "password": PASSWORD})
    assert back.status_code == 302, back.text
    done = browser.get(back.headers["location"])
    assert (done.status_code, done.headers["location"]) == (302, f"{edge}/desk/x?a=1"), done.text
    answer = browser.get(done.headers["location"])
    assert answer.json()["headers"]["x-user"] == "ann"


def test_tokens_of_the_issuer_pass_and_its_own_machine_is_not_reached_otherwise(browser: httpx.Client) -> None:
    good = token(browser, sub="robot").json()["access_token"]
    assert browser.get("/api", headers={"authorization": f"Bearer {good}"}).json()["headers"]["x-user"] == "robot"
    other = token(browser, audience="other").json()["access_token"]
    assert browser.get("/api", headers={"authorization": f"Bearer {other}"}).status_code == 403
    assert token(browser, client_secret="wrong").status_code == 401
    assert browser.get("/identityx").status_code == 404


def test_services_redirects_are_left_alone(lab: Any, browser: httpx.Client) -> None:
    """Only what begins with the login page's URL is changed."""
    assert issuer_url(lab.spec) not in browser.get("/desk").headers["location"].partition("?")[0]
    logout = browser.get("/oauth2/logout")
    assert logout.headers["location"] == f"https://{lab.endpoints[0].address}:8443/"
