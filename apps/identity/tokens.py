"""What the provider signs: access tokens, ID tokens, and its own codes and refresh tokens.

Codes and refresh tokens are signed too, so that any replica takes what another one gave. They have neither issuer nor
audience, so nobody takes one for an access token. That a code or a refresh token is used once is known per replica.
"""

import math
import secrets
import time
from dataclasses import asdict, dataclass
from typing import Any

from apps.identity.client import Person
from apps.identity.keys import KeyRing
from apps.identity.settings import IdentitySettings

CODE_SECONDS = 60
REFRESH_SECONDS = 24 * 3600
LEEWAY_SECONDS = 30
"""How long a used refresh token is good still. A browser sends requests in parallel, and each that meets an expired access
token brings the same one; without this, all but the first would be sent to log in again."""
LONGEST_SECONDS = 24 * 3600
"""Of a token that is asked for by a client of its own."""
ACCESS, IDENTITY, CODE, REFRESH = "at+jwt", "JWT", "mesh-code+jwt", "mesh-refresh+jwt"


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What a code or a refresh token stands for; the methods are those that Authlib asks for."""

    subject: str
    scope: str
    client_id: str
    id: str
    redirect_uri: str | None = None
    code_challenge: str | None = None
    code_challenge_method: str | None = None
    nonce: str | None = None

    def get_redirect_uri(self) -> str | None:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def check_client(self, client: Any) -> bool:
        return bool(client.get_client_id() == self.client_id)

    @property
    def person(self) -> Person:
        """Who it was given to."""
        return Person(subject=self.subject, nonce=self.nonce)


class Tokens:
    """Makes tokens and remembers which of its own are used up."""

    def __init__(self, settings: IdentitySettings, keys: KeyRing) -> None:
        self._settings = settings
        self._keys = keys
        self._used: dict[str, float] = {}
        """Id → since when it is good no more."""

    def grant(self, kind: str, **fields: str | None) -> str:
        """A code or a refresh token."""
        life = CODE_SECONDS if kind == CODE else REFRESH_SECONDS
        given = Grant(id=secrets.token_urlsafe(16), **fields)  # type: ignore[arg-type]
        return self._keys.sign({"grant": asdict(given), "exp": int(time.time()) + life}, kind=kind)

    def granted(self, kind: str, text: str) -> Grant | None:
        """What was given, unless it is forged, expired or used."""
        claims = self._keys.verify(text, kind=kind)
        if claims is None:
            return None
        given = Grant(**claims["grant"])
        return given if time.time() < self._used.get(given.id, math.inf) else None

    def use_up(self, given: Grant, *, leeway: float = 0) -> None:
        """No second time once `leeway` seconds have passed since the first."""
        now = time.time()
        self._used = {name: since for name, since in self._used.items() if now < since + REFRESH_SECONDS}
        self._used.setdefault(given.id, now + leeway)

    def generate(
        self,
        grant_type: str,
        client: Any,
        user: Person | None = None,
        scope: str | None = None,
        expires_in: int | None = None,
        include_refresh_token: bool = True,
        *,
        audiences: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """The answer of the token endpoint; the signature is Authlib's."""
        life = min(expires_in or self._settings.token_seconds, LONGEST_SECONDS)
        now, client_id, scope = int(time.time()), client.get_client_id(), scope or ""
        times = {"iss": self._settings.issuer, "iat": now, "exp": now + life}
        who = user.claims() if user else {"sub": client_id}
        access = {
            **times,
            **who,
            "aud": list(audiences or self._settings.audiences),
            "client_id": client_id,
            "scope": scope,
            "jti": secrets.token_urlsafe(16),
        }
        answer: dict[str, Any] = {"token_type": "Bearer", "access_token": self._keys.sign(access, kind=ACCESS)}
        answer |= {"expires_in": life, "scope": scope}
        if user and include_refresh_token:
            answer["refresh_token"] = self.grant(REFRESH, subject=user.subject, scope=scope, client_id=client_id)
        if user and "openid" in scope.split():
            nonce = {"nonce": user.nonce} if user.nonce else {}
            answer["id_token"] = self._keys.sign({**times, **who, **nonce, "aud": client_id}, kind=IDENTITY)
        return answer
