"""The built-in OpenID Connect provider by its endpoints: what it publishes, whom it lets in, what it signs."""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from authlib.oidc.discovery import OpenIDProviderMetadata
from joserfc import jwt
from joserfc.jwk import KeySet

from apps.common.errors import MeshError
from apps.identity.keys import KeyRing
from apps.identity.tokens import LEEWAY_SECONDS

ISSUER = "https://mesh.example/identity"


def verified(login: Any, text: str) -> Any:
    return jwt.decode(text, KeySet.import_key_set(login.client.get("/jwks").json()), algorithms=["ES256"])


def test_discovery_is_whole_and_names_the_issuer(login: Any) -> None:
    document = OpenIDProviderMetadata(login.client.get("/.well-known/openid-configuration").json())
    for name in document.REGISTRY_KEYS:
        if name != "id_token_signing_alg_values_supported":  # The specification wants RS256 too; our keys are EC.
            getattr(document, f"validate_{name}")()
    assert document["issuer"] == ISSUER
    assert document["jwks_uri"] == f"{ISSUER}/jwks"


def test_published_keys_have_no_private_part(login: Any) -> None:
    [key] = login.client.get("/jwks").json()["keys"]
    assert "d" not in key
    assert key["kid"]
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")


def test_the_login_page_has_a_form_and_may_lead_nowhere_else(login: Any, inputs_of: Callable[[str], list[str]]) -> None:
    answer = login.client.get("/authorize", params=login.query(scope="openid <script>"))
    assert answer.status_code == 200
    assert inputs_of(answer.text) == ["viewport", "username", "password"]
    assert "<script>" not in answer.text
    assert "form-action 'self' https://mesh.example;" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


def test_a_login_ends_in_tokens_of_the_person(login: Any) -> None:
    answer = login.post()
    location = urlsplit(answer.headers["location"])
    assert location._replace(query="").geturl() == "https://mesh.example/oauth2/callback"
    query = parse_qs(location.query)
    assert query["state"] == ["s-1"]
    token = login.redeem(query["code"][0])
    assert token.status_code == 200
    assert token.headers["cache-control"] == "no-store"
    body = token.json()
    access, identity = verified(login, body["access_token"]), verified(login, body["id_token"])
    assert access.header["typ"] == "at+jwt"
    claims = access.claims
    assert (claims["iss"], claims["sub"], claims["aud"], claims["scope"]) == (ISSUER, "ann", ["mesh", "shop"], "openid orders.read")
    assert claims["exp"] - claims["iat"] == body["expires_in"] == 600
    assert (identity.claims["aud"], identity.claims["sub"]) == ("mesh", "ann")


def test_the_nonce_of_the_request_is_in_the_id_token(login: Any) -> None:
    body = login.redeem(login.code(nonce="n-1")).json()
    assert verified(login, body["id_token"]).claims["nonce"] == "n-1"


@pytest.mark.parametrize(("password", "name"), [("wrong", "ann"), ("", "ann"), ("password-of-tests", "<b>"), ("password-of-tests", "")])
def test_a_wrong_name_or_password_stays_on_the_page(login: Any, password: str, name: str) -> None:
    answer = login.post(password=password, name=name)
    assert answer.status_code == 401
    assert "location" not in answer.headers
    assert "Name or password is wrong" in answer.text
    assert "<b>" not in answer.text


@pytest.mark.parametrize(
    "changed",
    [
        {"redirect_uri": "https://evil.example/oauth2/callback"},
        {"redirect_uri": "https://mesh.example/oauth2/callback/../../evil"},
        {"redirect_uri": "https://mesh.example@evil.example/oauth2/callback"},
        {"redirect_uri": "http://mesh.example/oauth2/callback"},
        {"redirect_uri": None},
        {"client_id": "other"},
        {"client_id": None},
    ],
)
def test_a_request_that_could_lead_elsewhere_is_refused_without_a_redirect(login: Any, changed: dict[str, str | None]) -> None:
    """Open redirect."""
    answer = login.client.get("/authorize", params=login.query(**changed), follow_redirects=False)
    assert answer.status_code in (400, 401)
    assert "location" not in answer.headers
    assert login.post(**changed).status_code in (400, 401)


@pytest.mark.parametrize(
    "changed",
    [{"code_challenge": None}, {"code_challenge_method": "plain"}, {"code_challenge_method": None}, {"response_type": "token"}],
)
def test_a_request_without_pkce_by_hash_goes_back_with_an_error(login: Any, changed: dict[str, str | None]) -> None:
    answer = login.client.get("/authorize", params=login.query(**changed), follow_redirects=False)
    assert answer.status_code == 302
    assert answer.headers["location"].startswith("https://mesh.example/oauth2/callback?error=")
    assert "state=s-1" in answer.headers["location"]


def test_a_code_is_good_once_and_only_with_all_that_belongs_to_it(login: Any) -> None:
    wrong: list[dict[str, Any]] = [
        {"code_verifier": "w" * 43},
        {"code_verifier": None},
        {"redirect_uri": "https://mesh.example/other"},
        {"client_secret": "wrong"},
        {"client_secret": None},
        {"client_id": "other"},
    ]
    for form in wrong:
        assert login.redeem(login.code(), **form).status_code in (400, 401), form
    code = login.code()
    assert login.redeem(code).status_code == 200
    assert login.redeem(code).json()["error"] == "invalid_grant"
    assert login.redeem("e30.e30.e30").json()["error"] == "invalid_grant"


def test_a_refresh_token_is_good_once_and_brings_the_next(login: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = login.redeem(login.code()).json()
    second = login.token(grant_type="refresh_token", refresh_token=first["refresh_token"]).json()
    assert verified(login, second["access_token"]).claims["sub"] == "ann"
    assert second["access_token"] != first["access_token"]
    later = time.time() + LEEWAY_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert login.token(grant_type="refresh_token", refresh_token=first["refresh_token"]).status_code == 400
    assert login.token(grant_type="refresh_token", refresh_token=second["refresh_token"]).status_code == 200
    wider = login.token(grant_type="refresh_token", refresh_token=second["refresh_token"], scope="openid admin")
    assert wider.status_code == 400


def test_requests_that_a_browser_sends_at_once_all_refresh_by_the_same_token(login: Any) -> None:
    """And what the last of them brought goes on."""
    first = login.redeem(login.code()).json()
    answers = [login.token(grant_type="refresh_token", refresh_token=first["refresh_token"]) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert login.token(grant_type="refresh_token", refresh_token=answers[-1].json()["refresh_token"]).status_code == 200


def test_tokens_of_one_kind_do_not_pass_for_another(login: Any) -> None:
    body = login.redeem(login.code()).json()
    assert login.token(grant_type="refresh_token", refresh_token=body["access_token"]).status_code == 400
    assert login.redeem(body["refresh_token"]).status_code == 400
    assert "iss" not in verified(login, body["refresh_token"]).claims
    assert "aud" not in verified(login, body["refresh_token"]).claims


def test_a_client_gets_tokens_for_whom_it_asks(login: Any) -> None:
    plain = verified(login, login.token(grant_type="client_credentials").json()["access_token"]).claims
    assert (plain["sub"], plain["aud"]) == ("mesh", ["mesh", "shop"])
    asked = {"sub": "bob@example.org", "audience": "shop", "scope": "orders.read", "ttl": "60"}
    body = login.token(grant_type="client_credentials", **asked).json()
    claims = verified(login, body["access_token"]).claims
    assert (claims["sub"], claims["aud"], claims["scope"], claims["exp"] - claims["iat"]) == (
        "bob@example.org",
        ["shop"],
        "orders.read",
        60,
    )
    assert "refresh_token" not in body


@pytest.mark.parametrize("ttl", ["0", "-1", "x", "1e9", "999999999"])
def test_a_life_beyond_the_limit_is_refused(login: Any, ttl: str) -> None:
    assert login.token(grant_type="client_credentials", ttl=ttl).json()["error"] == "invalid_request"


@pytest.mark.parametrize("grant", ["password", "implicit", "urn:ietf:params:oauth:grant-type:device_code", None])
def test_other_grants_are_refused(login: Any, grant: str | None) -> None:
    assert login.token(grant_type=grant).json()["error"] in ("unsupported_grant_type", "invalid_request")


def test_a_form_of_any_size_is_refused_and_not_kept(login: Any) -> None:
    assert login.token(grant_type="client_credentials", scope="x" * 100_000).status_code == 400


def test_basic_authentication_of_the_client(login: Any) -> None:
    secret = base64.b64encode(b"mesh:client-secret-of-tests").decode()
    answer = login.client.post("/token", data={"grant_type": "client_credentials"}, headers={"authorization": f"Basic {secret}"})
    assert answer.status_code == 200


def test_replicas_take_each_others_codes_and_tokens(login: Any, another: Any) -> None:
    body = another.redeem(login.code()).json()
    assert verified(login, body["access_token"]).claims["sub"] == "ann"
    assert login.token(grant_type="refresh_token", refresh_token=body["refresh_token"]).status_code == 200


def test_keys_rotate_without_a_restart_and_old_tokens_stay_good(login: Any, keys: Path, make_key: Callable[..., str]) -> None:
    old, new = keys.read_text(), make_key()
    before = login.token(grant_type="client_credentials").json()["access_token"]
    keys.write_text(old + new)
    assert len(login.client.get("/jwks").json()["keys"]) == 2
    published_first = login.token(grant_type="client_credentials").json()["access_token"]
    assert header(published_first)["kid"] == header(before)["kid"]
    keys.write_text(new + old)
    os.utime(keys, ns=(1, 1))
    after = login.token(grant_type="client_credentials").json()["access_token"]
    assert header(after)["kid"] != header(before)["kid"]
    for text in (before, published_first, after):
        assert verified(login, text).claims["sub"] == "mesh"


def test_a_broken_key_file_leaves_the_last_good_keys(login: Any, keys: Path) -> None:
    keys.write_text("nothing")
    assert login.token(grant_type="client_credentials").status_code == 200


def test_keys_that_cannot_sign_are_refused_at_the_start(keys: Path, make_key: Callable[..., str]) -> None:
    keys.write_text("nothing")
    with pytest.raises(MeshError, match="no private key in PEM"):
        KeyRing(keys)
    keys.write_text(make_key("P-384"))
    with pytest.raises(MeshError, match="key 1 is of curve P-384"):
        KeyRing(keys)


def header(text: str) -> dict[str, str]:
    first = text.split(".")[0]
    found: dict[str, str] = json.loads(base64.urlsafe_b64decode(first + "=="))
    return found


def test_the_program_says_what_its_environment_lacks() -> None:
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "apps.identity"], env={"PORT": "x"}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "IDENTITY_ISSUER" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - started < 20
