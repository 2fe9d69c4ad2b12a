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
    tls = mesh.edge.tls
    own = contract.acme_path(stack) if tls.mode == "acme" else contract.edge_tls_path(stack)
    return {DEFAULT: tls.secret or own, **{path: path for path in named_domains(mesh.edge)}}


def parameters_of(mesh: MeshSpec, *, stack: str) -> list[str]:
    """Names of all SSM parameters that a control plane reads for these certificates."""
    names = [name for path in paths_of(mesh, stack=stack).values() for name in contract.certificate_parameters(path)]
    return list(dict.fromkeys([*names, *renewed_parameters(mesh, stack=stack)]))


def renewed_parameters(mesh: MeshSpec, *, stack: str) -> list[str]:
    """Names of those that it writes; none but in mode `acme`."""
    if mesh.edge.tls.mode != "acme":
        return []
    return [*contract.certificate_parameters(contract.acme_path(stack)), contract.acme_account_parameter(stack)]


def domains_of(mesh: MeshSpec) -> Mapping[str, list[str]]:
    """Name → domains of every certificate of the edge."""
    routes = [route for service in mesh.services.values() for route in service.routes]
    issued = mesh.edge.tls.acme.domains if mesh.edge.tls.acme else []
    return {DEFAULT: sorted({*issued, *without_own(mesh.edge, routes)}), **named_domains(mesh.edge)}
