"""Who may be what: a node is served as the role and service that its certificate names."""

import structlog

from apps.control_plane.metrics import Metrics
from apps.control_plane.node import Node
from apps.control_plane.server import Authorizer
from model.contract import spiffe_id

log = structlog.get_logger()


def by_certificate(domain: str, *, metrics: Metrics) -> Authorizer:
    """Serves a node only when its certificate's SPIFFE id is that of its node id's role and service."""

    def authorize(node: Node, certificate: str | None) -> str | None:
        wanted = spiffe_id(domain, node.id.role, node.id.service)
        if certificate == wanted:
            return None
        metrics.nodes_denied.inc()
        log.warning("node denied", node=str(node.id), certificate=certificate, wanted=wanted)
        return f"node {node.id} needs a certificate for {wanted}, this one is for {certificate}"

    return authorize


def everyone(_node: Node, _certificate: str | None) -> None:
    """For plain connections, which are taken on loopback only."""
    return
