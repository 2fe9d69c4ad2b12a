"""Which certificates an edge has, and which domains each must be for."""

from collections.abc import Mapping

from model import contract
from model.edge import EdgeSpec, RouteSpec
from model.spec import MeshSpec

DEFAULT = "default"
"""The certificate for clients that name no domain with one of its own. The others are called by their SSM path."""


def is_for(name: str, domain: str) -> bool:
    """Whether a certificate's DNS name is for the domain; `*` stands for one label (RFC 6125, §6.4.3)."""
    return name == domain or (name.startswith("*.") and domain.partition(".")[2] == name[2:])


def named_domains(edge: EdgeSpec) -> Mapping[str, list[str]]:
    """SSM path → domains of each certificate that is chosen by SNI."""
    return {certificate.secret: certificate.domains for certificate in edge.tls.certificates}


def without_own(edge: EdgeSpec, routes: list[RouteSpec]) -> list[str]:
    """Domains of routes that no certificate of their own is for; the default one must be."""
    own = {domain for domains in named_domains(edge).values() for domain in domains}
    return sorted({domain for route in routes for domain in route.domains} - own)


def paths_of(mesh: MeshSpec, *, stack: str) -> Mapping[str, str]:
    """Name → SSM path of every certificate of the edge."""
    return {DEFAULT: mesh.edge.tls.secret or contract.edge_tls_path(stack), **{path: path for path in named_domains(mesh.edge)}}


def parameters_of(mesh: MeshSpec, *, stack: str) -> list[str]:
    """Names of all SSM parameters that these certificates are read from."""
    return [name for path in paths_of(mesh, stack=stack).values() for name in contract.certificate_parameters(path)]


def domains_of(mesh: MeshSpec) -> Mapping[str, list[str]]:
    """Name → domains of every certificate of the edge."""
    routes = [route for service in mesh.services.values() for route in service.routes]
    issued = mesh.edge.tls.acme.domains if mesh.edge.tls.acme else []
    return {DEFAULT: sorted({*issued, *without_own(mesh.edge, routes)}), **named_domains(mesh.edge)}
