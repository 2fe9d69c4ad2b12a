"""What the mesh document only names of logins and tokens: the issuer's endpoints and the secrets in SSM."""

import json
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import Any

from apps.common.aws import AwsError, error_code
from apps.control_plane.discovery.reports import FaultReport, IssuerReport, LoginSecretsReport
from model import contract
from model.address_words import is_https_url

DISCOVERY_PATH = "/.well-known/openid-configuration"
LARGEST_DOCUMENT = 1 << 18
TIMEOUT_SECONDS = 5.0
ENDPOINTS = ("jwks_uri", "authorization_endpoint", "token_endpoint", "end_session_endpoint")

Auth = dict[str, Any]
Fetch = Callable[[str], bytes]


def auth_of(document: str) -> Auth:
    """`edge.auth` of a mesh document's text, as it was written; empty where there is none. What is wrong in it, others say."""
    try:
        auth = json.loads(document)["mesh"]["edge"]["auth"]
    except (ValueError, TypeError, KeyError):
        return {}
    return auth if isinstance(auth, dict) else {}


def fetch(url: str) -> bytes:
    """The body of a URL, TLS verified by the machine's authorities; raises OSError or HTTPException."""
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
        body: bytes = answer.read(LARGEST_DOCUMENT + 1)
    if len(body) > LARGEST_DOCUMENT:
        raise OSError(f"{url}: more than {LARGEST_DOCUMENT} bytes")
    return body


class IssuerPoll:
    """Asks an issuer for its discovery document (OpenID Connect Discovery 1.0, §4)."""

    def __init__(self, fetch: Fetch = fetch) -> None:
        self._fetch = fetch
        self.last: IssuerReport | None = None

    def poll(self, auth: Auth) -> IssuerReport | FaultReport | None:
        """The endpoints when they are new, a fault when the issuer did not tell, else None; only what is not written out is asked for."""
        issuer = auth.get("issuer")
        if not isinstance(issuer, str) or "://" not in issuer or auth.get("jwks"):
            return None
        try:
            found = _read(issuer, json.loads(self._fetch(issuer.rstrip("/") + DISCOVERY_PATH)))
        except (OSError, HTTPException, ValueError) as error:
            return FaultReport(api="issuer:discovery", code=type(error).__name__, text=f"{issuer}: {error}")
        if found == self.last:
            return None
        self.last = found
        return found

    def knows(self, auth: Auth) -> bool:
        """Whether the last answer is of the issuer that is asked for now."""
        return self.last is not None and self.last.issuer == auth.get("issuer")


def _read(issuer: str, said: Any) -> IssuerReport:
    if not isinstance(said, dict) or said.get("issuer") != issuer:
        raise ValueError(f"its document is of issuer {said.get('issuer') if isinstance(said, dict) else said!r}; the two must be the same")
    urls = {name: str(said.get(name) or "") for name in ENDPOINTS}
    for name, url in urls.items():
        if url and not is_https_url(url):
            raise ValueError(f"{name} is {url!r}; tokens and keys go over https only, and to a host and port that are such")
    if not urls["jwks_uri"]:
        raise ValueError("its document has no jwks_uri")
    return IssuerReport(issuer=issuer, **urls)


class LoginSecretsPoll:
    """The client's secret and the key of the edges' cookies."""

    def __init__(self, ssm: Any, *, stack: str) -> None:
        self._ssm = ssm
        self._stack = stack
        self.last: LoginSecretsReport | None = None

    def poll(self, auth: Auth) -> LoginSecretsReport | FaultReport | None:
        """Both when one is new, a fault when they could not be read whole, else None."""
        login = auth.get("login")
        if not isinstance(login, dict):
            return None
        client, cookies = (contract.login_parameter(self._stack, item) for item in ("client-secret", "cookie-key"))
        client = login.get("clientSecret") or client
        try:
            answer = self._ssm.get_parameters(Names=[client, cookies], WithDecryption=True)
        except AwsError as error:
            return FaultReport(api="ssm:GetParameters", code=error_code(error), text=str(error))
        values = {item["Name"]: item["Value"] for item in answer["Parameters"]}
        if missing := [name for name in (client, cookies) if name not in values]:
            return FaultReport(api="ssm:GetParameters", code="ParameterNotFound", text=f"no parameter {', '.join(missing)}")
        found = LoginSecretsReport(client_secret=values[client], cookie_key=values[cookies])
        if found == self.last:
            return None
        self.last = found
        return found
