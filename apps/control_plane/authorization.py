"""Who may be what: a node is served as the role and service that its certificate names."""

from apps.control_plane.node import Node
from apps.control_plane.session import Authorizer
from model.contract import spiffe_id


def by_certificate(domain: str) -> Authorizer:
    """Serves a node only when its certificate's SPIFFE id is that of its node id's role and service."""

    def authorize(node: Node, certificate: str | None) -> str | None:
        wanted = spiffe_id(domain, node.id.role, node.id.service)
        return None if certificate == wanted else f"node {node.id} needs a certificate for {wanted}, this one is for {certificate}"

    return authorize


def everyone(_node: Node, _certificate: str | None) -> None:
    """For plain connections, which are taken on loopback only."""
    return
