"""The row of `tls.PrivateKey`: real keys by the library that also signs with them."""

import base64
import hashlib
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from local.provider.row import Call, Made, Row

CURVES: dict[str, Callable[[], ec.EllipticCurve]] = {"P224": ec.SECP224R1, "P256": ec.SECP256R1, "P384": ec.SECP384R1, "P521": ec.SECP521R1}
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def _generate(inputs: dict[str, Any]) -> PrivateKey:
    algorithm, curve = inputs["algorithm"], inputs.get("ecdsaCurve", "P224")
    if algorithm == "ECDSA" and curve in CURVES:
        return ec.generate_private_key(CURVES[curve]())
    if algorithm == "RSA":
        return rsa.generate_private_key(65537, int(inputs.get("rsaBits", 2048)))
    if algorithm == "ED25519":
        return ed25519.Ed25519PrivateKey.generate()
    raise ValueError(f"tls.PrivateKey: algorithm {algorithm!r} with ecdsaCurve {curve!r}; use ECDSA ({', '.join(CURVES)}), RSA or ED25519")


def load_key(pem: str) -> PrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), None)
    if not isinstance(key, PrivateKey):
        raise TypeError(f"a {type(key).__name__} cannot sign certificates here; use an ECDSA, RSA or ED25519 key")
    return key


def algorithm_of(key: PrivateKey) -> str:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return "ECDSA"
    return "RSA" if isinstance(key, rsa.RSAPrivateKey) else "ED25519"


def _private_pem(key: PrivateKey, form: serialization.PrivateFormat) -> str:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def _create(call: Call) -> Made:
    """Ed25519 has no form of its own beside PKCS #8, and P-224 none in OpenSSH."""
    key = _generate(call.inputs)
    public = key.public_key()
    traditional = (
        serialization.PrivateFormat.PKCS8 if isinstance(key, ed25519.Ed25519PrivateKey) else serialization.PrivateFormat.TraditionalOpenSSL
    )
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    outputs = {
        "privateKeyPem": _private_pem(key, traditional),
        "privateKeyPemPkcs8": _private_pem(key, serialization.PrivateFormat.PKCS8),
        "publicKeyPem": public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode(),
        "privateKeyOpenssh": "",
        "publicKeyOpenssh": "",
        "publicKeyFingerprintMd5": "",
        "publicKeyFingerprintSha256": "",
        "ecdsaCurve": call.inputs.get("ecdsaCurve", "P224"),
        "rsaBits": call.inputs.get("rsaBits", 2048),
    }
    if not (isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP224R1)):
        line = public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
        blob = base64.b64decode(line.split()[1])
        md5 = hashlib.md5(blob, usedforsecurity=False).hexdigest()
        outputs |= {
            "privateKeyOpenssh": _private_pem(key, serialization.PrivateFormat.OpenSSH),
            "publicKeyOpenssh": f"{line}\n",
            "publicKeyFingerprintMd5": ":".join(md5[index : index + 2] for index in range(0, 32, 2)),
            "publicKeyFingerprintSha256": "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("="),
        }
    return Made(hashlib.sha1(der, usedforsecurity=False).hexdigest(), outputs)


ROWS = (Row(token="tls:index/privateKey:PrivateKey", create=_create),)
