"""Names of what Envoy is served; they appear in statistics, logs and dashboards, so a renamed one breaks readers."""

APP = "app"
"""Cluster of the program beside the Envoy, on the machine's loopback."""
LOCAL_CLUSTER = "mesh.local"
"""Endpoint set of the node's own group; the bootstrap asks for it, no CDS cluster names it."""
POSTGRES = "postgres"
ORIGIN = "origin"
"""The mesh's own edges, as outer edges know them."""
WARMTH = "warmth"
"""Listener and cluster by which an outer edge makes connections to its origin before clients need them."""
IDENTITY = "identity"
"""The built-in token issuer."""

EDGE = "edge"
"""The group of the mesh's own edges."""
EDGE_HTTPS = "edge-https"
EDGE_HTTP = "edge-http"
EDGE_ORIGIN = "edge-origin"
"""Listener of an edge for the outer ones."""
INGRESS = "ingress"
EGRESS = "egress"

EDGE_ROUTES = "edge"
INGRESS_ROUTES = "ingress"
EGRESS_ROUTES = "egress"

EDGE_SECRET = "edge-tls"
"""The certificate for clients that name no domain with one of its own."""
MESH_CERTIFICATE = "mesh-tls"
"""The machine's own certificate in the mesh."""
MESH_CA = "mesh-ca"


def edge_secret(path: str) -> str:
    """A certificate that is chosen by SNI, by its path in SSM."""
    return f"{EDGE_SECRET}:{path}"


def tcp_egress(service: str) -> str:
    """Listener on loopback that leads to a TCP service."""
    return f"tcp.{service}"
