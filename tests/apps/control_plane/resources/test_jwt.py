"""Tokens at a real edge, with a key server beside it: acceptance 27–37 and 57, and attacks on the verification."""

import base64
import hmac
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from envoy.extensions.filters.http.jwt_authn.v3.config_pb2 import JwtAuthentication, PerRouteConfig
from joserfc.jwk import ECKey, RSAKey

from apps.control_plane import type_urls
from apps.control_plane.build import resources_for
from apps.control_plane.model import Issuer, World
from model.contract import Role
from tests.apps.control_plane.resources.key_server import ISSUER, KEY, KeyServer, bearer, edge_of, token

HTTP = {"health": {"path": "/health"}, "port": 9080}
REQUIRE = {"scopes": ["orders.read"], "claims": {"role": ["admin", "clerk"], "realm.groups": ["ops"], "email_verified": ["true"]}}
GOOD = {"sub": "ann", "scope": "orders.read orders.write", "role": "clerk", "realm": {"groups": ["dev", "ops"]}, "email_verified": True}


RSA = RSAKey.generate_key(2048, {"kid": "rsa", "alg": "RS256", "use": "sig"})


def part(data: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


def confused(key: Any, secret: bytes) -> str:
    """HS256 with a public key as secret."""
    text = f"{part({'alg': 'HS256', 'kid': key.kid})}.{part({'iss': ISSUER, 'aud': 'mesh', 'exp': int(time.time()) + 60})}"
    return f"{text}.{base64.urlsafe_b64encode(hmac.digest(secret, text.encode(), 'sha256')).rstrip(b'=').decode()}"


def signed_by_hand(head: dict[str, Any]) -> str:
    """A good token with a header that no library signs."""
    text = f"{part(head)}.{part({'iss': ISSUER, 'aud': 'mesh', 'exp': int(time.time()) + 60})}"
    key: Any = KEY.private_key
    r, s = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{text}.{base64.urlsafe_b64encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big')).rstrip(b'=').decode()}"


@pytest.fixture(scope="module")
def key_server() -> Iterator[KeyServer]:
    server = KeyServer("127.0.0.1")
    server.keys = [KEY, RSA]
    yield server
    server.stop()


@pytest.fixture(scope="module")
def lab(spec_of: Any, lab_of: Any, key_server: KeyServer) -> Any:
    routes = [
        {"prefix": "/guarded", "auth": "jwt"},
        {"prefix": "/guarded/open"},
        {"prefix": "/orders", "auth": "jwt", "require": REQUIRE},
        {"prefix": "/scp", "auth": "jwt", "require": {"claims": {"scope": ["orders.read"]}}},
        {"prefix": "/public"},
    ]
    lab = lab_of(spec_of(edge=edge_of(key_server.url), web=HTTP | {"routes": routes}))
    lab.add(Role.EDGE, "edge")
    lab.add(Role.SERVICE, "web")
    lab.start()
    return lab


@pytest.fixture
def client(lab: Any) -> Iterator[httpx.Client]:
    with lab.client() as client:
        yield client


def counters(lab: Any) -> Callable[[str], int]:
    return lambda name: int(lab.statistics(lab.endpoints[0].address).get(f"http.edge-https.{name}", "0"))


envoy = pytest.mark.envoy


@envoy
@pytest.mark.parametrize("headers", [{}, {"authorization": "Basic x"}])
def test_no_token_is_401_and_says_where(lab: Any, client: httpx.Client, headers: dict[str, str]) -> None:
    """Acceptance 27."""
    response = client.get("/guarded/x", headers=headers)
    assert (response.status_code, response.text) == (401, "Jwt is missing")
    assert response.headers["www-authenticate"] == f'Bearer realm="{response.url}"'
    lab.wait_for_log(lab.endpoints[0].address, "jwt_authn_access_denied{Jwt_is_missing}")


@envoy
@pytest.mark.parametrize(
    ("claims", "status", "text"),
    [
        ({"exp": -90}, 401, "Jwt is expired"),
        ({"exp": None}, 401, "Jwt verification fails"),
        ({"nbf": 300}, 401, "Jwt not yet valid"),
        ({"iss": "https://evil.example.com"}, 401, "Jwt issuer is not configured"),
        ({"iss": None}, 401, "Jwt issuer is not configured"),
        ({"aud": "other"}, 403, "Audiences in Jwt are not allowed"),
        ({"aud": None}, 403, "Audiences in Jwt are not allowed"),
    ],
)
def test_a_token_with_wrong_claims_is_refused(client: httpx.Client, claims: dict[str, Any], status: int, text: str) -> None:
    """Acceptance 28, 29, 30; `exp` is required."""
    now = time.time()
    said: dict[str, Any] = {name: int(now) + value if isinstance(value, int) else value for name, value in claims.items()}
    response = client.get("/guarded", headers=bearer(token(**said)))
    assert (response.status_code, response.text) == (status, text)
    assert 'error="invalid_token"' in response.headers.get("www-authenticate", "") or status == 403


@envoy
@pytest.mark.parametrize("claims", [{"exp": -30}, {"aud": ["other", "shop"]}, {"nbf": 30}])
def test_a_clock_skew_of_a_minute_and_any_audience_of_the_list_pass(client: httpx.Client, claims: dict[str, Any]) -> None:
    """Acceptance 28, 30."""
    said: dict[str, Any] = {name: int(time.time()) + value if isinstance(value, int) else value for name, value in claims.items()}
    assert client.get("/guarded", headers=bearer(token(**said))).status_code == 200


@envoy
def test_a_token_of_another_key_is_refused(client: httpx.Client) -> None:
    """Acceptance 31."""
    other = ECKey.generate_key("P-256", {"kid": "k1"})
    assert client.get("/guarded", headers=bearer(token(RSA, algorithm="RS256", header={"kid": "rsa"}))).status_code == 200
    no_key = "Jwks doesn't have key to match kid or alg from Jwt"
    for text, expected in [
        (token(other), "Jwt verification fails"),
        (token(other, header={"kid": "k2"}), no_key),
        (confused(KEY, KEY.as_pem(private=False)), no_key),
        (confused(RSA, RSA.as_pem(private=False)), no_key),
        (confused(RSA, RSA.as_der(private=False)), no_key),
        (token(RSAKey.generate_key(2048, {"kid": "k1"}), algorithm="RS256"), no_key),
    ]:
        response = client.get("/guarded", headers=bearer(text))
        assert (response.status_code, response.text) == (401, expected)


@envoy
def test_a_valid_token_passes_and_the_service_sees_claims_but_no_token(lab: Any, client: httpx.Client) -> None:
    """Acceptance 33."""
    count = counters(lab)
    allowed, denied = count("jwt_authn.allowed"), count("jwt_authn.denied")
    seen = client.get("/guarded", headers=bearer(token(role="clerk"))).json()["headers"]
    assert "authorization" not in seen
    payload = json.loads(base64.urlsafe_b64decode(seen["x-jwt-payload"] + "=="))
    assert payload["sub"] == seen["x-user"] == "ann"
    assert seen["x-role"] == "clerk"
    client.get("/guarded")
    assert count("jwt_authn.allowed") == allowed + 1
    assert count("jwt_authn.denied") == denied + 1


@envoy
@pytest.mark.parametrize("path", ["/public", "/guarded/open", "/guarded"])
def test_claim_headers_of_the_client_are_dropped_everywhere(client: httpx.Client, path: str) -> None:
    forged = {"x-user": "root", "X-Role": "admin", "x-jwt-payload": "e30"}
    headers = [*forged.items(), *(bearer(token()) if path == "/guarded" else {}).items()]
    seen = client.get(path, headers=headers).json()["headers"]
    assert seen.get("x-user") == ("ann" if path == "/guarded" else None)
    assert "x-role" not in seen
    assert seen.get("x-jwt-payload") != "e30"


@envoy
@pytest.mark.parametrize(
    "path",
    [
        "/guarded",
        "/guarded/",
        "//guarded",
        "/./guarded/x",
        "/public/../guarded/x",
        "/public/%2e%2e/guarded/x",
        "/guarded/open/../x",
        "/guarded/open/%2e%2e/x",
        "/guarded/opener",
        "/%67uarded/x",
        "/guarded;x=/public",
        "/guarded?x=/guarded/open",
    ],
)
def test_no_writing_of_a_guarded_path_passes_without_a_token(lab: Any, path: str) -> None:
    """The path as it is routed is the path that is guarded; what is not normalised to it has no route."""
    edge = lab.endpoints[0].address
    with lab.client() as client:
        # Any other way httpx would make the path plain before it sends it.
        assert client.get("/", extensions={"target": path.encode()}).status_code in (401, 404), edge


@envoy
def test_attacks_on_the_token_are_refused(client: httpx.Client) -> None:
    good = token()
    head, body, signature = good.split(".")
    attacks = {
        "alg none": f"{part({'alg': 'none', 'kid': 'k1'})}.{body}.",
        "alg none, with a signature": f"{part({'alg': 'none', 'kid': 'k1'})}.{body}.{signature}",
        "alg None": f"{part({'alg': 'None', 'kid': 'k1'})}.{body}.{signature}",
        "no algorithm": f"{part({'kid': 'k1'})}.{body}.{signature}",
        "own key in the header": token(ECKey.generate_key("P-256"), header={"jwk": KEY.as_dict(private=False)}),
        "path as kid": token(header={"kid": "../../dev/null"}),
        "no signature": f"{head}.{body}.",
        "signature cut": f"{head}.{body}.{signature[:-4]}",
        "claims changed": f"{head}.{part({'iss': ISSUER, 'aud': 'mesh', 'sub': 'root', 'exp': 9999999999})}.{signature}",
        "dot behind": f"{good}.",
        "part behind": f"{good}.{body}",
        "two tokens": f"{good},{good}",
        "words behind": f"{good} x",
        "bad base64": f"{head}.{body}.{signature[:-2]}!!",
        "empty": "x",
        "dots": "..",
        "JSON": json.dumps({"token": good}),
        "oversized": token(padding="x" * 60_000),
    }
    statuses = {name: client.get("/guarded", headers=bearer(text)).status_code for name, text in attacks.items()}
    assert {name: status for name, status in statuses.items() if status not in (400, 401, 403, 431)} == {}
    two = [("authorization", f"Bearer {good}"), ("authorization", "Bearer x.y.z")]
    assert client.get("/guarded", headers=two).status_code in (400, 401, 403)
    assert client.get("/guarded", headers={"authorization": f"Basic x, Bearer {good}"}).status_code == 403
    assert client.get(f"/guarded?access_token={good}").status_code == 401
    assert client.get("/guarded", headers={"cookie": f"BearerToken={good}; access_token={good}"}).status_code == 401
    assert client.get("/guarded", headers=bearer(good)).status_code == 200


@envoy
def test_an_unknown_critical_header_is_accepted_by_envoy(client: httpx.Client) -> None:
    """A known limit: RFC 7515 §4.1.11 would refuse it. Headers are signed, so only the issuer itself can add one."""
    assert client.get("/guarded", headers=bearer(signed_by_hand({"alg": "ES256", "kid": "k1", "crit": ["x"], "x": 1}))).status_code == 200


@envoy
@pytest.mark.parametrize(
    ("claims", "status"),
    [
        (GOOD, 200),
        (GOOD | {"scope": ["orders.read"]}, 200),
        (GOOD | {"scope": None, "scp": "orders.read"}, 200),
        (GOOD | {"role": ["guest", "admin"]}, 200),
        (GOOD | {"scope": "orders.readall"}, 403),
        (GOOD | {"scope": "xorders.read orders"}, 403),
        (GOOD | {"scope": None}, 403),
        (GOOD | {"role": "guest"}, 403),
        (GOOD | {"role": None}, 403),
        (GOOD | {"realm": {"groups": ["dev"]}}, 403),
        (GOOD | {"email_verified": False}, 403),
    ],
)
def test_a_route_gets_only_tokens_with_the_claims_it_requires(lab: Any, client: httpx.Client, claims: dict[str, Any], status: int) -> None:
    """Acceptance 57."""
    count = counters(lab)
    before = count("rbac.denied")
    response = client.get("/orders", headers=bearer(token(**claims)))
    assert response.status_code == status
    if status == 403:
        assert response.text == "RBAC: access denied"
        assert count("rbac.denied") == before + 1
        lab.wait_for_log(lab.endpoints[0].address, "rbac_access_denied_matched_policy[none]")


@envoy
@pytest.mark.parametrize(("scope", "status"), [("a orders.read b", 200), (["orders.read"], 200), ("ordersxread", 403), ("", 403)])
def test_a_claim_that_holds_words_is_required_by_one_of_them(client: httpx.Client, scope: Any, status: int) -> None:
    assert client.get("/scp", headers=bearer(token(scope=scope))).status_code == status


@envoy
def test_a_preflight_needs_a_token_where_no_cors_is_configured(client: httpx.Client) -> None:
    """Acceptance 37: no bypass is intended; the CORS filter answers the preflights of routes that have it, before."""
    headers = {"origin": "https://app.example.com", "access-control-request-method": "GET"}
    assert client.options("/guarded", headers=headers).status_code == 401


def test_the_filter_names_what_the_config_says(spec_of: Any, node_of: Any, key_pair: Any) -> None:
    spec = spec_of(edge=edge_of("https://login.example.com/keys"), web={"routes": [{"prefix": "/a", "auth": "jwt"}, {"prefix": "/b"}]})
    built = resources_for(World(spec=spec, stack="t", edge_tls=key_pair()), node_of(Role.EDGE, "edge"))
    config = filter_config(built)
    provider = config.providers["issuer"]
    assert provider.issuer == ISSUER
    assert list(provider.audiences) == ["mesh", "shop"]
    assert provider.require_expiration
    assert provider.remote_jwks.http_uri.uri == "https://login.example.com/keys"
    assert not provider.from_params
    assert not provider.from_cookies
    assert not config.bypass_cors_preflight
    cluster: Any = built[type_urls.CLUSTER][provider.remote_jwks.http_uri.cluster]
    assert cluster.transport_socket.name == "envoy.transport_sockets.tls"
    routes: Any = built[type_urls.ROUTE]["edge"]
    guarded = {route.name for route in routes.virtual_hosts[0].routes if config_name(route)}
    assert guarded == {"web:/a"}


def test_an_issuer_that_nobody_has_found_yet_has_no_keys_and_no_host(spec_of: Any, node_of: Any, key_pair: Any) -> None:
    spec = spec_of(edge=edge_of(None), web={"routes": [{"prefix": "/a", "auth": "jwt"}]})
    world = World(spec=spec, stack="t", edge_tls=key_pair())
    built = resources_for(world, node_of(Role.EDGE, "edge"))
    cluster: Any = built[type_urls.CLUSTER][filter_config(built).providers["issuer"].remote_jwks.http_uri.cluster]
    assert [len(group.lb_endpoints) for group in cluster.load_assignment.endpoints] == [0]
    found = World(spec=spec, stack="t", edge_tls=key_pair(), issuer=Issuer(issuer=ISSUER, jwks_uri=f"{ISSUER}/discovered"))
    config = filter_config(resources_for(found, node_of(Role.EDGE, "edge")))
    assert config.providers["issuer"].remote_jwks.http_uri.uri == f"{ISSUER}/discovered"
    other = World(spec=spec, stack="t", edge_tls=key_pair(), issuer=Issuer(issuer="https://old", jwks_uri="https://old/keys"))
    config = filter_config(resources_for(other, node_of(Role.EDGE, "edge")))
    assert config.providers["issuer"].remote_jwks.http_uri.uri.startswith("http://unknown.invalid/")


def filter_config(built: Any) -> JwtAuthentication:
    from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpConnectionManager

    manager = HttpConnectionManager.FromString(built[type_urls.LISTENER]["edge-https"].filter_chains[0].filters[0].typed_config.value)
    [found] = [item for item in manager.http_filters if item.name == "envoy.filters.http.jwt_authn"]
    return JwtAuthentication.FromString(found.typed_config.value)


def config_name(route: Any) -> str:
    packed = route.typed_per_filter_config.get("envoy.filters.http.jwt_authn")
    return PerRouteConfig.FromString(packed.value).requirement_name if packed else ""
