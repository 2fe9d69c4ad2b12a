"""The keys that sign: read from one file, again whenever it changes, so that they rotate without a restart.

To rotate, add a key at the file's end, wait until everybody has fetched it, move it to the front, wait until the last
token of the old one has expired, and take that one out.
"""

import re
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from apps.common.errors import MeshError

ALGORITHM = "ES256"
CURVE = "P-256"
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)


class KeyRing:
    """Signs with the file's first key and verifies with each of them; a file that cannot be used leaves the last good keys."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = (0, 0)
        self._keys = self._read()

    def sign(self, claims: dict[str, Any], *, kind: str) -> str:
        """A signed token with `typ` header `kind`."""
        key = self._current()[0]
        return jwt.encode({"alg": ALGORITHM, "kid": key.kid, "typ": kind}, claims, key, algorithms=[ALGORITHM])

    def verify(self, text: str, *, kind: str) -> dict[str, Any] | None:
        """The claims of a token of ours that has not expired; None for anything else."""
        try:
            token = jwt.decode(text, KeySet([*self._current()]), algorithms=[ALGORITHM])
            jwt.JWTClaimsRegistry(exp={"essential": True}).validate(token.claims)
        except (JoseError, ValueError):
            return None
        return token.claims if token.header.get("typ") == kind else None

    def published(self) -> dict[str, Any]:
        """The public halves as a JWK set."""
        return {"keys": [{**key.as_dict(private=False), "use": "sig", "alg": ALGORITHM} for key in self._current()]}

    def _current(self) -> list[ECKey]:
        try:
            if self._stamp() != self._seen:
                self._keys = self._read()
        except (OSError, MeshError):
            pass
        return self._keys

    def _read(self) -> list[ECKey]:
        stamp, text = self._stamp(), self._path.read_text()
        blocks = _PEM.findall(text)
        if not blocks:
            raise MeshError(f"{self._path}: no private key in PEM; write one or more EC {CURVE} keys, the first signs")
        keys = []
        for number, block in enumerate(blocks, 1):
            try:
                key = ECKey.import_key(block)
            except (JoseError, ValueError) as error:
                raise MeshError(f"{self._path}: key {number} cannot be read ({error}); write EC {CURVE} keys") from None
            if key.curve_name != CURVE:
                raise MeshError(f"{self._path}: key {number} is of curve {key.curve_name}; {ALGORITHM} needs EC {CURVE}")
            keys.append(ECKey.import_key(block, {"kid": key.thumbprint()}))
        self._seen = stamp
        return keys

    def _stamp(self) -> tuple[int, int]:
        state = self._path.stat()
        return state.st_mtime_ns, state.st_size
