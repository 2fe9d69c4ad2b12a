"""An issuer of a bench's own, and its tokens."""

import json
import time
from datetime import timedelta

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

LIFE = timedelta(hours=2)
ALGORITHM = "RS256"


class Issuer:
    """Signs by RS256, which Envoy verifies fastest."""

    url = "https://login.example.com"
    audience = "mesh"

    def __init__(self) -> None:
        self._key = RSAKey.generate_key(2048, {"kid": "bench", "alg": ALGORITHM, "use": "sig"})

    @property
    def keys(self) -> str:
        """The JWK set."""
        return json.dumps(KeySet([self._key]).as_dict(private=False))

    def token(self) -> str:
        now = int(time.time())
        claims = {"iss": self.url, "aud": self.audience, "sub": "ann", "iat": now, "exp": now + int(LIFE.total_seconds())}
        claims |= {"scope": "orders.read orders.write", "name": "Ann Example", "email": "ann@example.com"}
        return jwt.encode({"alg": ALGORITHM, "kid": "bench"}, claims, self._key, algorithms=[ALGORITHM])
