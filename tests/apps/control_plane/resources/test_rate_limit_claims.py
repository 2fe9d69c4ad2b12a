"""Rate limits by who a token says it is, and limits of all requests, at a real edge with a key server beside it."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from model.contract import Role

pytestmark = pytest.mark.envoy

ISSUER = "https://login.example.com"
HTTP = {"health": {"path": "/health"}, "port": 9080}
KEY = ECKey.generate_key("P-256", {"kid": "k1", "alg": "ES256", "use": "sig"})


@pytest.fixture(scope="module")
def keys() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(KeySet([KEY]).as_dict(private=False)).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/keys"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def lab(spec_of: Any, lab_of: Any, keys: str) -> Any:
    edge = {
        "https": 8443,
        "http": 8080,
        "auth": {"issuer": ISSUER, "jwks": keys, "audiences": ["mesh"]},
        "rateLimits": [{"requests": 20, "per": "60m"}],
    }
    routes = [
        {"prefix": "/tenant", "auth": "jwt", "rateLimits": [{"requests": 2, "per": "60m", "by": "claim:tenant"}]},
        {"prefix": "/first", "auth": "jwt", "rateLimits": [{"requests": 1, "per": "60m", "by": "client"}]},
    ]
    lab = lab_of(spec_of(edge=edge, web=HTTP | {"routes": routes}))
    lab.add(Role.EDGE, "edge")
    lab.add(Role.SERVICE, "web")
    lab.start()
    return lab


def bearer(**claims: Any) -> dict[str, str]:
    now = int(time.time())
    said = {"iss": ISSUER, "aud": "mesh", "sub": "ann", "iat": now, "exp": now + 300, **claims}
    return {"authorization": f"Bearer {jwt.encode({'alg': 'ES256', 'kid': 'k1'}, said, KEY, algorithms=['ES256'])}"}


def test_limits_by_claim_and_of_all_requests(lab: Any) -> None:
    """One story, since the last part spends what all requests share: 20."""
    with lab.client() as client:

        def statuses(path: str, times: int, headers: dict[str, str]) -> list[int]:
            return [client.get(path, headers=headers).status_code for _ in range(times)]

        # Each tenant has its own bucket, whoever of the tenant asks; who has no token gets none of it.
        assert statuses("/tenant", 1, bearer(tenant="red")) == [200]
        assert statuses("/tenant", 2, bearer(tenant="red", sub="bob")) == [200, 429]
        assert statuses("/tenant", 2, {}) == [401, 401]
        assert statuses("/tenant", 1, bearer(tenant="blue")) == [200]
        # Tokens without the claim share a bucket.
        assert statuses("/tenant", 3, bearer()) == [200, 200, 429]
        # By address the limit comes first: nobody is asked for a token any more.
        assert statuses("/first", 2, {}) == [401, 429]
        # Also what no route has is counted: 10 so far, since what the narrower limit refused took nothing here.
        assert statuses("/nowhere", 11, {}) == [404] * 10 + [429]
        answer: httpx.Response = client.get("/tenant", headers=bearer(tenant="green"))
        assert (answer.status_code, answer.headers["x-local-rate-limit"]) == (429, "true")
