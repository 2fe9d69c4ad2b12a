"""What the provider is told by its environment."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr

from apps.common.environment import EnvironmentModel

Words = Annotated[tuple[str, ...], BeforeValidator(lambda text: tuple(text.split()) if isinstance(text, str) else text)]
Secret = Annotated[SecretStr, Field(min_length=16)]


class IdentitySettings(EnvironmentModel):
    """Who the provider is, whom it knows, and how it signs."""

    host: str = Field(alias="HOST")
    port: int = Field(alias="PORT")
    issuer: str = Field(alias="IDENTITY_ISSUER")
    """The issuer's URL as browsers and tokens know it; what is below it reaches this program without the URL's own path."""
    keys: Path = Field(alias="IDENTITY_KEYS")
    """File of PEM keys, EC P-256: the first signs, all are published; every replica has the same."""
    audiences: Words = Field(alias="IDENTITY_AUDIENCES")
    client_id: str = Field(alias="IDENTITY_CLIENT_ID")
    client_secret: Secret = Field(alias="IDENTITY_CLIENT_SECRET")
    password: Secret = Field(alias="IDENTITY_PASSWORD")
    """What lets any user name in."""
    redirects: Words = Field(alias="IDENTITY_REDIRECTS")
    """Exact URLs that a login may return to."""
    token_seconds: Annotated[int, Field(ge=1, le=86_400)] = Field(600, alias="IDENTITY_TOKEN_SECONDS")
    """Life of an access token."""
