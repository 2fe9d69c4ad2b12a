"""Who uses the provider: its one client, the edge, and the people who log in."""

import hmac
from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749 import ClientMixin
from authlib.oauth2.rfc6749.util import list_to_scope, scope_to_list

from apps.identity.settings import IdentitySettings

SCOPES = ("openid", "profile", "email", "offline_access")
"""Scopes with a meaning of their own; every other one goes into tokens as it was asked for."""
GRANTS = ("authorization_code", "refresh_token", "client_credentials")


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody who logged in, or whom a token is asked for."""

    subject: str
    nonce: str | None = None

    def claims(self) -> dict[str, Any]:
        """What tokens say of a person."""
        name, _, domain = self.subject.partition("@")
        return {"sub": self.subject, "name": name, "email": self.subject if domain else f"{name}@example.com", "email_verified": False}


class EdgeClient(ClientMixin):  # type: ignore[misc]
    """The edge: confidential, with a fixed set of places to return to."""

    def __init__(self, settings: IdentitySettings) -> None:
        self._settings = settings

    def get_client_id(self) -> str:
        return self._settings.client_id

    def get_default_redirect_uri(self) -> None:
        """None: a request must name its own."""

    def get_allowed_scope(self, scope: str | None) -> str:
        return str(list_to_scope(scope_to_list(scope)) or "")

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self._settings.redirects

    def check_client_secret(self, client_secret: str) -> bool:
        return hmac.compare_digest(client_secret.encode(), self._settings.client_secret.get_secret_value().encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in ("client_secret_basic", "client_secret_post")

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in GRANTS
