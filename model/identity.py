"""Names and URLs of the built-in token issuer, as the control plane, the program and the provider itself must agree on them."""

from collections.abc import Iterable

from model.contract import IDENTITY_PREFIX, LOGIN_CALLBACK, PROJECT
from model.edge_words import BUILTIN
from model.spec import MeshSpec

HTTPS = 443


def is_builtin(mesh: MeshSpec) -> bool:
    """Whether the stack has an issuer of its own."""
    return mesh.edge.auth is not None and mesh.edge.auth.issuer == BUILTIN


def issuer_url(mesh: MeshSpec) -> str:
    """The built-in issuer as tokens name it: below the mesh's domain, whichever address a client uses."""
    return f"{_origin(mesh, mesh.domain)}{IDENTITY_PREFIX}"


def issuer_of(mesh: MeshSpec) -> str | None:
    """What the edge demands in a token's `iss`."""
    if mesh.edge.auth is None:
        return None
    return issuer_url(mesh) if is_builtin(mesh) else mesh.edge.auth.issuer


def client_id(mesh: MeshSpec) -> str:
    """The one client of the built-in issuer; also a stack without logins has it, for tokens of its own."""
    login = mesh.edge.auth.login if mesh.edge.auth else None
    return login.client_id if login else PROJECT


def callbacks(mesh: MeshSpec, hosts: Iterable[str]) -> list[str]:
    """Where logins may return to: the domain, `hosts` (the edges' addresses) and what the config allows beside."""
    login = mesh.edge.auth.login if mesh.edge.auth else None
    every = [mesh.domain, *hosts, *(login.redirect_domains if login else [])]
    return [f"{_origin(mesh, host)}{LOGIN_CALLBACK}" for host in dict.fromkeys(every)]


def _origin(mesh: MeshSpec, host: str) -> str:
    return f"https://{host}" if mesh.edge.https == HTTPS else f"https://{host}:{mesh.edge.https}"
