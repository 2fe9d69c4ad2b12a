"""An issuer's keys, where an edge fetches them, and tokens that they sign."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

ISSUER = "https://login.example.com"


class KeyServer:
    """An issuer's keys over HTTP; while `down` it answers 503."""

    def __init__(self, address: str) -> None:
        self.keys: list[Any] = []
        self.down = False
        self.asked = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked += 1
                body = json.dumps(KeySet(server.keys).as_dict(private=False)).encode()
                self.send_response(503 if server.down else 200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer((address, 0), Handler)
        self.url = f"http://{address}:{self._server.server_port}/keys"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


KEY = ECKey.generate_key("P-256", {"kid": "k1", "alg": "ES256", "use": "sig"})


def token(key: Any = KEY, *, header: dict[str, Any] | None = None, algorithm: str = "ES256", **claims: Any) -> str:
    """A token that is good but for what is given; None takes a claim out."""
    now = int(time.time())
    said = {"iss": ISSUER, "aud": "mesh", "sub": "ann", "iat": now, "exp": now + 300, **claims}
    head = {"alg": algorithm, "kid": "k1", **(header or {})}
    return jwt.encode(head, {name: value for name, value in said.items() if value is not None}, key, algorithms=[algorithm])


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


def edge_of(jwks: str | None, **more: Any) -> dict[str, Any]:
    auth = {"issuer": ISSUER, "audiences": ["mesh", "shop"], "claimsToHeaders": {"x-user": "sub", "x-role": "role"}, **more}
    return {"https": 8443, "http": 8080, "auth": auth | ({"jwks": jwks} if jwks else {})}
