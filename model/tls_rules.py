"""What must hold between the edge's certificates, its routes and the mesh's domain; see `rules`."""

from collections.abc import Iterator, Mapping

from model.edge import EdgeSpec
from model.edge_certificates import is_for, without_own
from model.problems import Problem
from model.spec import ServiceSpec


def check(
    root: str, edge: EdgeSpec, services: Mapping[str, ServiceSpec], *, domain: str | None, nat: str | None, local: bool
) -> Iterator[Problem]:
    """All problems; without a `domain` that could be read, a self-signed certificate may be for any."""
    place = f"{root}.edge.tls"
    if edge.tls.mode == "acme":
        yield from _authority_can_be_reached(place, nat=nat, local=local)
    yield from _mode_has_what_it_needs(place, edge)
    yield from _each_domain_has_one_certificate(place, edge)
    yield from _each_certificate_has_one_entry(place, edge)
    yield from _route_domains_differ(root, services)
    yield from _route_domains_have_certificates(root, edge, services, domain)


def _mode_has_what_it_needs(place: str, edge: EdgeSpec) -> Iterator[Problem]:
    tls = edge.tls
    examples = {"secret": (tls.secret, "/team/edge-tls"), "acme": (tls.acme, "{email: …, directory: …, domains: […]}")}
    for key, (value, example) in examples.items():
        if tls.mode == key and value is None:
            yield Problem(f"{place}.{key}", "(not set)", f"mode `{key}` needs it", f"add `{key}: {example}`")
        elif tls.mode != key and value is not None:
            shown = repr(value) if isinstance(value, str) else "an object"
            rule = f"mode `{tls.mode}` does not read it"
            yield Problem(f"{place}.{key}", shown, rule, f"write `mode: {key}`, or remove it")


def _authority_can_be_reached(place: str, *, nat: str | None, local: bool) -> Iterator[Problem]:
    if local:
        rule = "a local stack has no public zone that an authority could ask"
        yield Problem(f"{place}.mode", "'acme'", rule, "write `mode: self-signed` in the local stack's config")
    elif nat == "none":
        rule = "control planes reach the authority and Route 53 by the internet only, and `network.nat` is none"
        yield Problem(f"{place}.mode", "'acme'", rule, "write `nat: single`, or use mode `secret`")


def _each_domain_has_one_certificate(place: str, edge: EdgeSpec) -> Iterator[Problem]:
    entries = [(f"{place}.certificates[{index}].domains", entry.domains) for index, entry in enumerate(edge.tls.certificates)]
    if edge.tls.acme:
        entries.insert(0, (f"{place}.acme.domains", edge.tls.acme.domains))
    owners: dict[str, str] = {}
    for path, domains in entries:
        for index, domain in enumerate(domains):
            if first := owners.get(domain):
                yield Problem(f"{path}[{index}]", repr(domain), f"the domain has a certificate already, at {first}", "remove one of them")
            owners.setdefault(domain, f"{path}[{index}]")


def _each_certificate_has_one_entry(place: str, edge: EdgeSpec) -> Iterator[Problem]:
    owners = {edge.tls.secret: f"{place}.secret"} if edge.tls.secret else {}
    for index, entry in enumerate(edge.tls.certificates):
        path = f"{place}.certificates[{index}].secret"
        if first := owners.get(entry.secret):
            yield Problem(path, repr(entry.secret), f"the same certificate stands at {first}", "write all its domains in one entry")
        owners.setdefault(entry.secret, path)


def _route_domains_differ(root: str, services: Mapping[str, ServiceSpec]) -> Iterator[Problem]:
    for name, service in services.items():
        for number, route in enumerate(service.routes):
            for index, domain in enumerate(route.domains):
                if domain in route.domains[:index]:
                    path = f"{root}.services.{name}.routes[{number}].domains[{index}]"
                    yield Problem(path, repr(domain), "it is in the list already", "remove it")


def _route_domains_have_certificates(
    root: str, edge: EdgeSpec, services: Mapping[str, ServiceSpec], mesh_domain: str | None
) -> Iterator[Problem]:
    """What the certificate of mode `secret` is for, only the control plane sees: it refuses one that lacks a route's domain."""
    if edge.tls.mode == "secret" or (edge.tls.mode == "self-signed" and mesh_domain is None):
        return
    if edge.tls.mode == "acme":
        names = edge.tls.acme.domains if edge.tls.acme else []
        more = f"add it to {root}.edge.tls.acme.domains"
    else:
        names = [str(mesh_domain), f"*.{mesh_domain}"]
        more = f"take a name below {mesh_domain}"
    for name, service in services.items():
        for number, route in enumerate(service.routes):
            for domain in without_own(edge, [route]):
                if not any(is_for(item, domain) for item in names):
                    yield Problem(
                        f"{root}.services.{name}.routes[{number}].domains",
                        repr(domain),
                        "no certificate of the edge is for this domain",
                        f"add `{{domains: [{domain}], secret: …}}` to {root}.edge.tls.certificates, or {more}",
                    )
