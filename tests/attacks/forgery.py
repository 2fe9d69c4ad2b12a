"""Tokens with any header, any claims and any signature, also such as no library makes."""

import base64
import hmac
import json
import time
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import ECKey

from tests.attacks.edge import Edge

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of P-256 (FIPS 186-4, D.1.2.3)."""
OTHER_EC = ec.generate_private_key(ec.SECP256R1())
OTHER_P384 = ec.generate_private_key(ec.SECP384R1())
OTHER_RSA = rsa.generate_private_key(65537, 2048)
OTHER_ED = ed25519.Ed25519PrivateKey.generate()


class Forger:
    """Knows the issuer's key, to make tokens that only the issuer could have signed; attackers' keys are the `OTHER_`s."""

    def __init__(self, edge: Edge) -> None:
        self.key: Any = serialization.load_pem_private_key(edge.secrets["signing-key"].encode(), None)
        self.kid = ECKey.import_key(edge.secrets["signing-key"]).thumbprint()
        self.issuer = json.loads(edge.get("/identity/.well-known/openid-configuration").text)["issuer"]

    @property
    def public(self) -> Any:
        return self.key.public_key()

    def head(self, **more: Any) -> dict[str, Any]:
        return without_none({"alg": "ES256", "kid": self.kid, "typ": "at+jwt", **more})

    def claims(self, **more: Any) -> dict[str, Any]:
        now = int(time.time())
        good = {"iss": self.issuer, "aud": ["mesh"], "sub": "ann", "scope": "orders.read", "iat": now, "exp": now + 300}
        return without_none({**good, **more})

    def good(self, **claims: Any) -> str:
        """Good but for the claims given; None takes one out."""
        return self.token(self.head(), self.claims(**claims))

    def token(self, head: Any, claims: Any, key: Any = None) -> str:
        """Signed by the issuer's key, or another's; texts go in as they are."""
        text = f"{part(head)}.{part(claims)}"
        return f"{text}.{coded(signature(text.encode(), key or self.key))}"

    def with_mac(self, secret: bytes, algorithm: str = "HS256", **head: Any) -> str:
        """Key confusion: a MAC whose secret is known to everybody."""
        text = f"{part(self.head(alg=algorithm, **head))}.{part(self.claims(sub='root'))}"
        return f"{text}.{coded(hmac.digest(secret, text.encode(), algorithm.replace('HS', 'sha')))}"


def signature(text: bytes, key: Any) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(text)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(text, padding.PKCS1v15(), hashes.SHA256())
    size = (key.curve.key_size + 7) // 8
    r, s = decode_dss_signature(key.sign(text, ec.ECDSA(hashes.SHA384() if size == 48 else hashes.SHA256())))
    return joined(r, s, size)


def joined(r: int, s: int, size: int = 32) -> bytes:
    """A JWS signature (RFC 7518 §3.4)."""
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def numbers(text: str) -> tuple[int, int]:
    """What `joined` joined."""
    raw = base64.urlsafe_b64decode(text + "==")
    return int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")


def part(data: Any) -> str:
    raw = data if isinstance(data, bytes) else data.encode() if isinstance(data, str) else json.dumps(data).encode()
    return coded(raw)


def coded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def without_none(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if value is not None}
