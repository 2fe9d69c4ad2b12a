"""The protocol, which is Authlib's: this tells it how requests come in, and where grants are kept."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from authlib.oauth2.rfc6749 import AuthorizationServer, InvalidRequestError, OAuth2Payload, OAuth2Request
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, ClientCredentialsGrant, RefreshTokenGrant
from authlib.oauth2.rfc7636 import CodeChallenge

from apps.identity.client import EdgeClient, Person
from apps.identity.tokens import CODE, LEEWAY_SECONDS, LONGEST_SECONDS, REFRESH, Grant, Tokens

METHODS = ["client_secret_basic", "client_secret_post"]


class Answer(NamedTuple):
    """An HTTP response; `body` is a text, or what becomes JSON."""

    status: int
    body: Any
    headers: list[tuple[str, str]]


class Incoming(OAuth2Request):  # type: ignore[misc]
    """A request with its parameters, from the query or from a form; the edge has taken TLS off."""

    def __init__(self, method: str, path: str, parameters: Mapping[str, list[str]], headers: Mapping[str, str]) -> None:
        super().__init__(method, f"https://edge{path}", headers=headers)
        self.payload = _Parameters(parameters)
        self._first: dict[str, str] = self.payload.data

    @property
    def form(self) -> dict[str, str]:
        return self._first


class _Parameters(OAuth2Payload):  # type: ignore[misc]
    def __init__(self, parameters: Mapping[str, list[str]]) -> None:
        self._all = defaultdict(list, parameters)
        self._first = {name: values[0] for name, values in parameters.items()}

    @property
    def data(self) -> dict[str, str]:
        return self._first

    @property
    def datalist(self) -> defaultdict[str, list[str]]:
        return self._all


class Provider(AuthorizationServer):  # type: ignore[misc]
    """One client, three grants."""

    def __init__(self, client: EdgeClient, tokens: Tokens) -> None:
        super().__init__()
        self.tokens = tokens
        self._client = client
        self.register_token_generator("default", tokens.generate)
        self.register_grant(_Code, [_ProofKey(required=True)])
        self.register_grant(_Refresh)
        self.register_grant(_OwnToken)

    def query_client(self, client_id: str) -> EdgeClient | None:
        return self._client if client_id == self._client.get_client_id() else None

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        """Nothing is kept: tokens speak for themselves."""

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""

    def create_oauth2_request(self, request: Incoming) -> Incoming:
        return request

    def handle_response(self, status: int, body: Any, headers: list[tuple[str, str]]) -> Answer:
        return Answer(status, body, headers)


class _Code(AuthorizationCodeGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def generate_authorization_code(self) -> str:
        said = self.request.payload.data
        code: str = self.server.tokens.grant(
            CODE,
            subject=self.request.user.subject,
            scope=self.request.scope,
            client_id=self.request.client.get_client_id(),
            redirect_uri=said.get("redirect_uri"),
            code_challenge=said.get("code_challenge"),
            code_challenge_method=said.get("code_challenge_method"),
            nonce=said.get("nonce"),
        )
        return code

    def save_authorization_code(self, code: str, request: OAuth2Request) -> None:
        """The code holds what it stands for."""

    def query_authorization_code(self, code: str, client: EdgeClient) -> Grant | None:
        given: Grant | None = self.server.tokens.granted(CODE, code)
        return given if given and given.check_client(client) else None

    def delete_authorization_code(self, authorization_code: Grant) -> None:
        self.server.tokens.use_up(authorization_code)

    def authenticate_user(self, authorization_code: Grant) -> Person:
        return authorization_code.person


class _ProofKey(CodeChallenge):  # type: ignore[misc]
    """PKCE, always, and only by hash."""

    SUPPORTED_CODE_CHALLENGE_METHOD: ClassVar[list[str]] = ["S256"]

    def validate_code_challenge(self, grant: AuthorizationCodeGrant, redirect_uri: str) -> None:
        if grant.request.payload.data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("PKCE with 'code_challenge_method=S256' is required")
        super().validate_code_challenge(grant, redirect_uri)


class _Refresh(RefreshTokenGrant):  # type: ignore[misc]
    """Each refresh token is good for one refresh, which brings the next; what comes in parallel counts as one."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Grant | None:
        given: Grant | None = self.server.tokens.granted(REFRESH, refresh_token)
        return given

    def authenticate_user(self, refresh_token: Grant) -> Person:
        return refresh_token.person

    def revoke_old_credential(self, refresh_token: Grant) -> None:
        self.server.tokens.use_up(refresh_token, leeway=LEEWAY_SECONDS)


class _OwnToken(ClientCredentialsGrant):  # type: ignore[misc]
    """Client credentials. The client may ask for another subject (`sub`), other audiences and another life (`ttl`, seconds)."""

    TOKEN_ENDPOINT_AUTH_METHODS = METHODS

    def create_token_response(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        said = self.request.payload.data
        life = said.get("ttl", "")
        if life and (not life.isdecimal() or not 1 <= int(life) <= LONGEST_SECONDS):
            raise InvalidRequestError(f"'ttl' is a number of seconds up to {LONGEST_SECONDS}")
        token = self.server.tokens.generate(
            self.GRANT_TYPE,
            self.client,
            Person(subject=said["sub"]) if "sub" in said else None,
            said.get("scope"),
            int(life) if life else None,
            include_refresh_token=False,
            audiences=tuple(said.get("audience", "").split()),
        )
        return 200, token, self.TOKEN_RESPONSE_HEADER
