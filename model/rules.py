"""What must hold between values of a stack config: one function a rule, each yields the problems it finds.

A rule works on the parts that could be read, so one bad value does not hide mistakes elsewhere.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from model import auth_rules, builds, edge_rules, outer_rules, tls_rules
from model.contract import LOCAL_POSTGRES_VERSION, MACHINE_PORTS, METRICS_PORT, ORIGIN_PORT, POSTGRES_PORT, WARMTH_PORT
from model.edge import EdgeSpec
from model.problems import Problem, suggestion
from model.spec import LOCAL_NETWORK, DatabaseSpec, MachinesSpec, NetworkSpec, QuotasSpec, ServiceSpec

APP_VARIABLES = frozenset({"HOST", "PORT"})
DATABASE_VARIABLES = frozenset({"PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD"})
RULES_EVERY_GROUP_HAS = 5
"""Rules of a security group that no `calls` entry causes: xDS, metrics, DNS, HTTPS out, health."""
SUBNET_BITS = 4
"""A private subnet is the VPC's range divided by 2 to this power (see components.subnets)."""
AWS_RESERVED_ADDRESSES = 5
_ANY_DOMAIN = ""
OFFICIAL_POSTGRES = re.compile(r"(?:^|/)postgres:(?P<major>[0-9]+)")
"""The official image's tag begins with the major version; other images count as they like, and a digest tells nothing."""


@dataclass(frozen=True)
class Parts:
    """What could be read of a config; a part that is wrong in itself is None or absent from `services`."""

    root: str
    local: bool
    production: bool
    network: NetworkSpec | None
    edge: EdgeSpec | None
    database: DatabaseSpec | None
    machines: MachinesSpec | None
    quotas: QuotasSpec
    services: dict[str, ServiceSpec] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    """Names of all services, also of those that could not be read."""
    wants_database: bool = False
    """Whether the config has a `database`, readable or not."""
    domain: str | None = None
    region: str | None = None
    """Where the stack lies; the mesh itself does not say it."""


def check(parts: Parts) -> list[Problem]:
    """All problems between the parts, in no particular order."""
    return [problem for rule in _RULES for problem in rule(parts)]


def _network_fits_the_runtime(parts: Parts) -> Iterator[Problem]:
    if parts.network is None:
        return
    loopback = parts.network.cidr.subnet_of(LOCAL_NETWORK)
    path, value = f"{parts.root}.network.cidr", str(parts.network.cidr)
    if loopback and not parts.local:
        yield Problem(path, value, "127.0.0.0/8 is this machine's loopback; no VPC on AWS can have it", "write for example `10.20.0.0/16`")
    if parts.local and not loopback:
        yield Problem(path, value, "a local stack's machines live on loopback", "start it by `./mesh up`, which takes a free range")


def _aws_stacks_pin_their_image(parts: Parts) -> Iterator[Problem]:
    if not parts.local and parts.machines is not None and parts.machines.ami is None:
        yield Problem(
            f"{parts.root}.machines.ami",
            "(not set)",
            "a stack on AWS names the machine image it boots; a floating one would replace every machine at the next `up`",
            "add `machines: {ami: ami-…}` with an Ubuntu 24.04 LTS image of the region",
        )


def _production_pins_digests(parts: Parts) -> Iterator[Problem]:
    if not parts.production:
        return
    refs = {f"services.{name}.image.ref": service.image.ref for name, service in parts.services.items() if service.image.ref}
    if parts.machines is not None:
        refs |= {f"machines.images.{name}": ref for name, ref in parts.machines.images_with(parts.database).items()}
    for place, ref in refs.items():
        if "@sha256:" not in ref:
            yield Problem(
                f"{parts.root}.{place}", repr(ref), "production runs images by digest", f"write {ref.split(':')[0]}@sha256:<digest>"
            )


def _postgres_is_of_the_databases_version(parts: Parts) -> Iterator[Problem]:
    if parts.database is None:
        return
    version, image = parts.database.version, parts.machines.images.postgres if parts.machines else None
    match = OFFICIAL_POSTGRES.search(image or "")
    if match and match["major"] != version:
        yield Problem(
            f"{parts.root}.machines.images.postgres",
            repr(image),
            f"the image is Postgres {match['major']}, `database.version` says {version}",
            f"make both the same, or remove the image: `postgres:{version}` is the default",
        )
    if parts.local and version != LOCAL_POSTGRES_VERSION:
        yield Problem(
            f"{parts.root}.database.version",
            repr(version),
            f"the Postgres of a local stack is {LOCAL_POSTGRES_VERSION}, whatever the version is elsewhere",
            f'write "{LOCAL_POSTGRES_VERSION}" in the local stack\'s file',
        )


def _elastic_ips_are_enough(parts: Parts) -> Iterator[Problem]:
    if parts.edge is None or parts.network is None:
        return
    gateways = {"none": 0, "single": 1, "per-zone": parts.network.zones}[parts.network.nat]
    wanted = parts.edge.instances + gateways
    if wanted > parts.quotas.elastic_ips:
        yield Problem(
            f"{parts.root}.edge.instances",
            str(parts.edge.instances),
            f"with {gateways} NAT gateways that is {wanted} Elastic IPs; the account's quota is {parts.quotas.elastic_ips}",
            "lower one of them, or raise the quota at AWS and write it as `quotas: {elasticIps: …}`",
        )


def _edge_ports_differ(parts: Parts) -> Iterator[Problem]:
    if parts.edge is None:
        return
    taken = {
        METRICS_PORT: "the metrics listener",
        ORIGIN_PORT: "the listener for outer edges",
        WARMTH_PORT: "an outer edge's own connections",
        9901: "Envoy's admin interface",
    }
    for name, port in (("https", parts.edge.https), ("http", parts.edge.http)):
        if port in taken:
            yield Problem(f"{parts.root}.edge.{name}", str(port), f"port {port} of an edge belongs to {taken[port]}", "choose another port")
    if parts.edge.https == parts.edge.http:
        fix = f"write for example `http: {80 if parts.edge.https != 80 else 8080}`"
        yield Problem(f"{parts.root}.edge.http", str(parts.edge.http), "HTTP and HTTPS need a port each", fix)


def _edge_is_consistent(parts: Parts) -> Iterator[Problem]:
    if parts.edge is not None:
        yield from edge_rules.check(parts.root, parts.edge, parts.services)
        yield from tls_rules.check(
            parts.root,
            parts.edge,
            parts.services,
            domain=parts.domain,
            nat=parts.network.nat if parts.network else None,
            local=parts.local,
        )
        nat = parts.network.nat if parts.network else None
        yield from auth_rules.check(parts.root, parts.edge, parts.services, production=parts.production, nat=nat)


def _outer_edges_stand_apart(parts: Parts) -> Iterator[Problem]:
    if parts.edge is not None:
        yield from outer_rules.check(
            f"{parts.root}.edge.outer",
            parts.edge.outer,
            root=parts.root,
            region=parts.region,
            network=parts.network.cidr if parts.network else None,
            nat=parts.network.nat if parts.network else None,
            elastic_ips=parts.quotas.elastic_ips,
            local=parts.local,
        )


def _replicas_are_ordered(parts: Parts) -> Iterator[Problem]:
    for name, service in parts.services.items():
        low, high = service.replicas.min, service.replicas.max
        if low > high:
            yield Problem(
                f"{parts.root}.services.{name}.replicas",
                f"min {low}, max {high}",
                "min is at most max",
                f"write {{min: {high}, max: {low}}}",
            )


def _machines_fit_the_subnets(parts: Parts) -> Iterator[Problem]:
    if parts.network is None:
        return
    room = parts.network.zones * (2 ** (32 - parts.network.cidr.prefixlen - SUBNET_BITS) - AWS_RESERVED_ADDRESSES)
    # A refresh launches up to half as many again beside the old ones.
    wanted = sum(service.replicas.max * 3 // 2 for service in parts.services.values())
    if wanted > room:
        yield Problem(
            f"{parts.root}.network.cidr",
            str(parts.network.cidr),
            f"the private subnets have {room} addresses, all groups at `max` and in a refresh take {wanted}",
            "take a larger range (/16 is the largest), more zones or smaller groups",
        )


def _routes_belong_to_http_services(parts: Parts) -> Iterator[Problem]:
    for name, service in parts.services.items():
        if service.routes and service.protocol != "http":
            yield Problem(
                f"{parts.root}.services.{name}.routes",
                ", ".join(route.prefix for route in service.routes),
                f"the edge routes HTTP services only, this one speaks {service.protocol}",
                "remove the routes; other services reach it by their `calls`",
            )


def _bridges_lead_to_grpc_services(parts: Parts) -> Iterator[Problem]:
    for name, service in parts.services.items():
        if service.bridge and service.protocol != "grpc":
            yield Problem(
                f"{parts.root}.services.{name}.bridge",
                service.bridge.prefix,
                f"a bridge leads to a gRPC service, this one speaks {service.protocol}",
                "write `routes` instead" if service.protocol == "http" else "remove it",
            )


def _routes_are_unique(parts: Parts) -> Iterator[Problem]:
    owners: dict[tuple[str, str], str] = {}
    for name, service in parts.services.items():
        for part, route in service.edge_routes.items():
            place = f"services.{name}.{part}.prefix"
            keys = [(domain, route.prefix) for domain in route.domains or [_ANY_DOMAIN]]
            if taken := next((key for key in keys if key in owners), None):
                where = f" for {taken[0]}" if taken[0] else ""
                yield Problem(
                    f"{parts.root}.{place}",
                    repr(route.prefix),
                    f"the same prefix{where} stands at {parts.root}.{owners[taken]}",
                    "give one of them another prefix, or other `domains`",
                )
            for key in keys:
                owners.setdefault(key, place)


def _calls_lead_somewhere(parts: Parts) -> Iterator[Problem]:
    for name, service in parts.services.items():
        for index, callee in enumerate(service.calls):
            path, value = f"{parts.root}.services.{name}.calls[{index}]", repr(callee)
            if callee == "postgres":
                if not parts.wants_database:
                    yield Problem(path, value, "the mesh has no database", 'add `database: {engine: postgres, version: "18"}`')
            elif callee == name:
                yield Problem(path, value, "a service needs no mesh to call itself", "remove it")
            elif callee not in parts.names:
                known = [other for other in (*parts.names, "postgres") if other != name]
                yield Problem(path, value, "no service of the mesh has this name", suggestion(callee, known))
            if callee in service.calls[:index]:
                yield Problem(path, value, "it is in the list already", "remove it")


def _ports_are_free(parts: Parts) -> Iterator[Problem]:
    for name, service in parts.services.items():
        taken = {port: who for port, who in MACHINE_PORTS.items() if port != POSTGRES_PORT or "postgres" in service.calls}
        path = f"{parts.root}.services.{name}.port"
        if who := taken.get(service.port):
            yield Problem(
                path,
                str(service.port),
                f"port {service.port} of a service's machine belongs to {who}",
                "choose another port, for example 8080",
            )
        taken[service.port] = "the app itself"
        for callee in service.calls:
            other = parts.services.get(callee)
            if other is None or other.protocol != "tcp" or callee == name:
                continue
            if who := taken.get(other.port):
                yield Problem(
                    f"{parts.root}.services.{name}.calls[{service.calls.index(callee)}]",
                    repr(callee),
                    f"its TCP port {other.port} would be opened on this app's loopback, where it belongs to {who}",
                    "give one of them another port",
                )
            taken.setdefault(other.port, f"the TCP service {callee}")


def _images_are_whole(parts: Parts) -> Iterator[Problem]:
    for name, service in parts.services.items():
        path, image = f"{parts.root}.services.{name}.image", service.image
        if (image.build is None) == (image.ref is None):
            value = "both build and ref" if image.build else "neither build nor ref"
            yield Problem(
                path, value, "an image is either built from the repository or pulled from a registry", "keep one of `build` and `ref`"
            )
        elif parts.local and image.local_command is None:
            yield Problem(
                path,
                repr(image.ref),
                "without Docker the local run needs a command for a pulled image",
                'add `local: {command: "… --port {port}"}`',
            )


def _builds_have_names_of_their_own(parts: Parts) -> Iterator[Problem]:
    yield from builds.check(parts.root, parts.services)


def _health_checks_fit_the_protocol(parts: Parts) -> Iterator[Problem]:
    for name, service in parts.services.items():
        if service.health and service.protocol != "http":
            how = "by grpc.health.v1" if service.protocol == "grpc" else "by a TCP connect"
            yield Problem(
                f"{parts.root}.services.{name}.health", service.health.path, f"a {service.protocol} service is checked {how}", "remove it"
            )


def _metrics_are_http(parts: Parts) -> Iterator[Problem]:
    for name, service in parts.services.items():
        if service.metrics and service.protocol != "http":
            rule = f"Prometheus asks over HTTP/1.1, this app speaks {service.protocol}"
            yield Problem(f"{parts.root}.services.{name}.metrics", service.metrics, rule, "remove it; the sidecar is scraped anyway")


def _variables_are_the_apps_own(parts: Parts) -> Iterator[Problem]:
    for name, service in parts.services.items():
        ours = APP_VARIABLES | (DATABASE_VARIABLES if "postgres" in service.calls else frozenset())
        for kind, variables in (("env", service.env), ("secrets", service.secrets)):
            for variable in variables:
                path = f"{parts.root}.services.{name}.{kind}.{variable}"
                if variable in ours or variable.startswith("MESH_"):
                    yield Problem(
                        path, repr(variables[variable]), "the mesh sets this variable itself", "remove it, or choose another name"
                    )
                if kind == "secrets" and variable in service.env:
                    yield Problem(path, repr(variables[variable]), "the same variable stands under `env`", "keep one of them")


def _security_groups_hold_the_rules(parts: Parts) -> Iterator[Problem]:
    room = parts.quotas.rules_per_group - RULES_EVERY_GROUP_HAS
    for name, service in parts.services.items():
        callers = sum(name in other.calls for other in parts.services.values()) + bool(service.edge_routes)
        for what, count in (("calls", len(service.calls)), ("callers", callers)):
            if count > room:
                yield Problem(
                    f"{parts.root}.services.{name}.calls" if what == "calls" else f"{parts.root}.services.{name}",
                    f"{count} {what}",
                    f"a rule each of the security group, which holds {parts.quotas.rules_per_group} ({RULES_EVERY_GROUP_HAS} the mesh's)",
                    "split the service, or raise the quota at AWS and write it as `quotas: {rulesPerGroup: …}`",
                )


_RULES = (
    _network_fits_the_runtime,
    _aws_stacks_pin_their_image,
    _production_pins_digests,
    _postgres_is_of_the_databases_version,
    _elastic_ips_are_enough,
    _edge_ports_differ,
    _edge_is_consistent,
    _outer_edges_stand_apart,
    _replicas_are_ordered,
    _machines_fit_the_subnets,
    _routes_belong_to_http_services,
    _bridges_lead_to_grpc_services,
    _routes_are_unique,
    _calls_lead_somewhere,
    _ports_are_free,
    _images_are_whole,
    _builds_have_names_of_their_own,
    _health_checks_fit_the_protocol,
    _metrics_are_http,
    _variables_are_the_apps_own,
    _security_groups_hold_the_rules,
)
