"""A provider with keys of its own, and a client that knows how to log in."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from fastapi.testclient import TestClient
from joserfc.jwk import ECKey

from apps.identity.app import create_app
from apps.identity.settings import IdentitySettings

ISSUER = "https://mesh.example/identity"
CALLBACK = "https://mesh.example/oauth2/callback"
SECRET = "client-secret-of-tests"
PASSWORD = "password-of-tests"
VERIFIER = "v" * 43


def new_key(curve: Any = "P-256") -> str:
    return ECKey.generate_key(curve).as_pem(private=True).decode()


@dataclass
class Login:
    """The browser's and the edge's side of a login."""

    client: TestClient

    def query(self, **changed: str | None) -> dict[str, str]:
        said = {
            "client_id": "mesh",
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "scope": "openid orders.read",
            "state": "s-1",
            "code_challenge": create_s256_code_challenge(VERIFIER),
            "code_challenge_method": "S256",
            **changed,
        }
        return {name: value for name, value in said.items() if value is not None}

    def post(self, *, password: str = PASSWORD, name: str = "ann", **changed: str | None) -> Any:
        form = {"username": name, "password": password}
        return self.client.post("/authorize", params=self.query(**changed), data=form, follow_redirects=False)

    def code(self, **changed: Any) -> str:
        answer: httpx.Response = self.post(**changed)
        assert answer.status_code == 302, answer.text
        return parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]

    def token(self, **form: str | None) -> Any:
        said = {"client_id": "mesh", "client_secret": SECRET, **form}
        return self.client.post("/token", data={name: value for name, value in said.items() if value is not None})

    def redeem(self, code: str, **form: str | None) -> Any:
        said = {"grant_type": "authorization_code", "redirect_uri": CALLBACK, "code_verifier": VERIFIER, **form}
        return self.token(code=code, **said)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys.pem"
    path.write_text(new_key())
    return path


@pytest.fixture
def app_of(keys: Path) -> Callable[..., Any]:
    def make(**changed: Any) -> Any:
        return create_app(
            IdentitySettings(
                host="127.0.0.1",
                port=8080,
                issuer=ISSUER,
                keys=keys,
                audiences=("mesh", "shop"),
                client_id="mesh",
                client_secret=SECRET,
                password=PASSWORD,
                redirects=(CALLBACK,),
                **changed,
            )
        )

    return make


@pytest.fixture
def login(app_of: Callable[..., Any]) -> Iterator[Login]:
    with TestClient(app_of(), base_url="https://identity") as client:
        yield Login(client)


@pytest.fixture
def another(app_of: Callable[..., Any]) -> Iterator[Login]:
    """A replica: the same settings, nothing else in common."""
    with TestClient(app_of(), base_url="https://identity") as client:
        yield Login(client)


@pytest.fixture
def make_key() -> Callable[..., str]:
    return new_key


@pytest.fixture
def inputs_of() -> Callable[[str], list[str]]:
    return lambda html: re.findall(r'name="(\w+)"', html)
