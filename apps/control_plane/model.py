"""The mesh as the control plane sees it at one moment: what is wanted (`MeshSpec`) and what is there (endpoints)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from model.contract import Role
from model.spec import MeshSpec


class EndpointState(StrEnum):
    """`serving` takes new requests; `draining` finishes those it has and gets no new ones."""

    SERVING = "serving"
    DRAINING = "draining"


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A live machine that runs an Envoy: member `instance` of the group (`role`, `service`)."""

    instance: str
    role: Role
    service: str
    address: str
    zone: str
    state: EndpointState = EndpointState.SERVING


@dataclass(frozen=True, kw_only=True)
class TlsKeyPair:
    """A PEM certificate chain and its key; neither is shown by `repr`."""

    chain: str = field(repr=False)
    key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Issuer:
    """What an OIDC issuer's discovery document says of it."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str = ""
    token_endpoint: str = ""
    end_session_endpoint: str = ""


@dataclass(frozen=True, kw_only=True)
class LoginSecrets:
    """What the edge shares with the issuer (the client's secret), and edges with each other (the key of their cookies)."""

    client_secret: str = field(repr=False)
    cookie_key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class World:
    """All that the resources of every node are built from."""

    spec: MeshSpec
    stack: str
    endpoints: tuple[Endpoint, ...] = ()
    edge_tls: TlsKeyPair | None = None
    """What the edge shows to clients; without it an edge's resources name a secret that is missing, so they are not served."""
    certificates: Mapping[str, TlsKeyPair] = field(default_factory=dict)
    """The edge's certificates for domains of their own, by SSM path; one that is missing leaves its domains to the one above."""
    descriptors: Mapping[str, bytes] = field(default_factory=dict)
    """Compiled protos of bridges, by service; a bridge without one has no routes."""
    issuer: Issuer | None = None
    """Without it, routes that need a token refuse all of them unless the config writes out the issuer's endpoints."""
    login_secrets: LoginSecrets | None = None

    @cached_property
    def _groups(self) -> dict[tuple[Role, str], tuple[Endpoint, ...]]:
        groups: dict[tuple[Role, str], list[Endpoint]] = {}
        for endpoint in self.endpoints:
            groups.setdefault((endpoint.role, endpoint.service), []).append(endpoint)
        return {key: tuple(members) for key, members in groups.items()}

    def group(self, role: Role, service: str) -> tuple[Endpoint, ...]:
        """The machines of one role and service, in the order of discovery."""
        return self._groups.get((role, service), ())
