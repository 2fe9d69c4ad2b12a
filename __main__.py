"""The program: reads a stack's settings and composes the mesh of them. What a part is made of stands in `components`."""

import sys
from collections.abc import Sequence
from functools import partial

import pulumi
from pulumi import Output

from components import (
    control_plane,
    database,
    edge_machines,
    firewall_rules,
    identity_files,
    identity_provider,
    login_secrets,
    machine_files,
    mesh_document,
    monitoring,
    policies,
    subnets,
)
from components.certificates import Certificates, CertificatesArgs, Holder
from components.control_plane import ControlPlane, ControlPlaneArgs
from components.data_volume import DataVolume, DataVolumeArgs
from components.database import Database, DatabaseArgs
from components.dns import PrivateDns, PrivateDnsArgs, PublicDns, PublicDnsArgs
from components.edge import EdgeAddresses, EdgeAddressesArgs
from components.endpoints import Endpoints, EndpointsArgs
from components.firewall import Firewall, FirewallArgs
from components.foundation import Foundation
from components.identity_provider import IdentityProvider, IdentityProviderArgs
from components.login_secrets import LoginSecrets, LoginSecretsArgs
from components.machine_files import StackFacts
from components.mesh_document import MeshDocument, MeshDocumentArgs
from components.monitoring import Monitoring, MonitoringArgs
from components.network import Network, NetworkArgs
from components.outer_region import OuterRegion, OuterRegionArgs
from components.passwords import Passwords, PasswordsArgs
from components.registry import Registry, RegistryArgs
from components.service_group import ServiceGroup, ServiceGroupArgs
from components.tags import StackTags
from model import edge_certificates
from model.builds import AGENT, CONTROL_PLANE, IDENTITY
from model.contract import Role, database_secret, document_version
from model.edge import OuterSpec
from model.identity import callbacks, is_builtin
from model.problems import ConfigError
from model.spec import MeshSpec
from settings import Settings, read_settings


def main() -> None:
    """Declares the stack; a mistake in its config ends the program before the first resource."""
    try:
        settings = read_settings()
    except ConfigError as error:
        pulumi.log.error(str(error))
        sys.exit(1)
    build(settings)


def build(settings: Settings) -> None:
    """All parts of the mesh, each from the ones before it, and the stack's outputs."""
    mesh, tags = settings.mesh, StackTags(stack=settings.stack)
    network = Network(
        "network",
        NetworkArgs(
            cidr=mesh.network.cidr,
            zones=settings.zones,
            nat=mesh.network.nat,
            public_ports=(mesh.edge.https, mesh.edge.http),
            tags=tags,
        ),
    )
    firewall = Firewall(
        "firewall",
        FirewallArgs(
            vpc_id=network.vpc_id,
            groups=firewall_rules.groups(mesh),
            networks=firewall_rules.networks(mesh),
            rules=firewall_rules.rules(mesh),
            aws_prefix_list=network.s3_prefix_list,
            tags=tags,
        ),
    )
    endpoints = build_endpoints(settings, network, firewall, tags)
    addresses = EdgeAddresses("edge-address", EdgeAddressesArgs(count=mesh.edge.instances, tags=tags))
    outer = {spec.region: build_outer_region(settings, network, spec, tags) for spec in mesh.edge.outer}
    public_ips = [*addresses.public_ips, *(address for region in outer.values() for address in region.addresses.public_ips)]
    foundation = Foundation(
        region=settings.region,
        ami=settings.ami,
        tags=tags,
        network=network,
        firewall=firewall,
        ways_out=[*network.ready, *(endpoints.ready if endpoints else [])],
        certificates=Certificates(
            "tls", CertificatesArgs(domain=mesh.domain, holders=holders_of(mesh), edge_addresses=list(public_ips), tags=tags)
        ),
        registry=Registry("image", RegistryArgs(builds=builds_of(mesh), protect_data=mesh.production, tags=tags)),
    )
    facts = StackFacts(
        stack=settings.stack,
        region=settings.region,
        mesh=mesh,
        control_planes=tuple(map(str, control_plane.addresses(subnets.plan(mesh.network.cidr, len(settings.zones))))),
    )
    passwords = Passwords("password", PasswordsArgs(secrets=secrets_of(facts), protect_data=mesh.production, tags=tags))
    document = mesh_document.render(mesh, stack=settings.stack, region=settings.region, descriptors=settings.descriptors)
    planes = build_control_plane(foundation, facts, document)
    store = build_database(foundation, facts, passwords) if mesh.database else None
    logins = LoginSecrets("login", LoginSecretsArgs(mesh=mesh, tags=tags)) if mesh.edge.auth else None
    issuer = build_identity(foundation, facts, logins, public_ips) if logins and is_builtin(mesh) else None
    edge_machines.edges(foundation, facts, addresses)
    for spec in mesh.edge.outer:
        edge_machines.outer_edges(foundation, facts, spec, outer[spec.region], ami=spec.ami or settings.ami)
    groups = {name: build_service(foundation, facts, name, passwords) for name in mesh.services}
    watch = build_monitoring(foundation, facts, passwords)
    records = {"control-plane": planes.addresses, "monitoring": [watch.address], **({"postgres": [store.address]} if store else {})}
    records |= {"identity": [issuer.address]} if issuer else {}
    PrivateDns("dns", PrivateDnsArgs(domain=mesh.domain, vpc_id=network.vpc_id, records=records, tags=tags))
    if settings.public_zone:
        PublicDns(
            "public-dns",
            PublicDnsArgs(
                zone_id=settings.public_zone,
                names=[mesh.domain],
                region=settings.region,
                addresses=addresses.public_ips,
                outer={name: region.addresses.public_ips for name, region in outer.items()},
            ),
        )

    pulumi.export("edgeUrls", addresses.urls(mesh.edge.https))
    pulumi.export("outerEdgeUrls", {name: region.addresses.urls(mesh.edge.https) for name, region in outer.items()})
    pulumi.export("edgeAddresses", addresses.public_ips)
    pulumi.export("caCertificate", foundation.certificates.ca_certificate)
    pulumi.export("document", document_version(document))
    pulumi.export("controlPlane", {"addresses": planes.addresses, "groups": planes.group_names})
    pulumi.export("database", {"address": store.address, "group": store.group_name} if store else None)
    pulumi.export("monitoring", {"address": watch.address, "group": watch.group_name})
    pulumi.export("services", {name: service_output(mesh, name, group) for name, group in groups.items()})
    pulumi.export("vpcId", network.vpc_id)


def build_outer_region(settings: Settings, origin: Network, spec: OuterSpec, tags: StackTags) -> OuterRegion:
    """Where the outer edges of a region stand."""
    args = OuterRegionArgs(spec=spec, mesh=settings.mesh, origin=origin, origin_region=settings.region, tags=tags)
    return OuterRegion(f"outer-{spec.region}", args)


def build_endpoints(settings: Settings, network: Network, firewall: Firewall, tags: StackTags) -> Endpoints | None:
    """Ways to AWS's APIs where the VPC has none to the internet."""
    if settings.mesh.network.nat != "none":
        return None
    group = firewall.group_ids[firewall_rules.ENDPOINTS]
    return Endpoints(
        "endpoint",
        EndpointsArgs(vpc_id=network.vpc_id, region=settings.region, zones=network.zones, security_group=group, tags=tags),
    )


def build_control_plane(foundation: Foundation, facts: StackFacts, content: str) -> ControlPlane:
    """The mesh document and the machines that serve it."""
    mesh, tags, zones = facts.mesh, foundation.tags, foundation.network.zones
    document = MeshDocument(
        "document",
        MeshDocumentArgs(content=content, protect_data=mesh.production, after=foundation.certificates.ready, tags=tags),
    )
    make = partial(machine_files.control_plane, facts)
    renewed = edge_certificates.renewed_parameters(mesh, stack=facts.stack)
    regions = [facts.region, *(spec.region for spec in mesh.edge.outer)]
    renewing = policies.renew_certificate(facts.region, renewed) if renewed else []
    claim = policies.claim_address(facts.region, facts.stack, Role.CONTROL_PLANE)
    settings = foundation.settings(
        Role.CONTROL_PLANE,
        control_plane.SERVICE,
        make,
        instance_type=mesh.machines.control_plane_type,
        builds=[CONTROL_PLANE],
        parameters=[*edge_certificates.parameters_of(mesh, stack=facts.stack), *login_secrets.names(mesh, facts.stack)],
        statements=document.bucket_arn.apply(lambda arn: [*policies.control(regions, facts.stack, arn), claim, *renewing]),
        after=document.ready,
    )
    holder = Holder(Role.CONTROL_PLANE, control_plane.SERVICE)
    known = {"app": foundation.registry.refs[CONTROL_PLANE], "bucket": document.bucket}
    data = [foundation.user_data(make, holder=holder, address=address, **known) for address in facts.control_planes]
    return ControlPlane("control-plane", ControlPlaneArgs(zones=zones, user_data=data, settings=settings, tags=tags))


def build_identity(
    foundation: Foundation, facts: StackFacts, logins: LoginSecrets, public_ips: Sequence[Output[str]]
) -> IdentityProvider:
    """The token issuer of stacks that ask for one."""
    make, zones = partial(identity_files.identity, facts), foundation.network.zones
    settings = foundation.settings(
        Role.IDENTITY,
        identity_files.SERVICE,
        make,
        instance_type=facts.mesh.machines.control_plane_type,
        builds=[IDENTITY],
        statements=[policies.discover(), policies.claim_address(facts.region, facts.stack, Role.IDENTITY)],
        after=logins.ready,
    )
    redirects = Output.all(*public_ips).apply(lambda hosts: " ".join(callbacks(facts.mesh, hosts)))
    address = str(identity_provider.address([zone.ranges for zone in zones]))
    data = foundation.user_data(make, app=foundation.registry.refs[IDENTITY], redirects=redirects, address=address)
    return IdentityProvider("identity", IdentityProviderArgs(zones=zones, user_data=data, settings=settings, tags=foundation.tags))


def build_service(foundation: Foundation, facts: StackFacts, name: str, passwords: Passwords) -> ServiceGroup:
    """The machines of one service."""
    spec, make = facts.mesh.services[name], partial(machine_files.service, facts, name)
    built = spec.image.build
    settings = foundation.settings(
        Role.SERVICE,
        name,
        make,
        instance_type=spec.instance_type,
        builds=[built] if built else [],
        after=passwords.ready if "postgres" in spec.calls else [],
    )
    return ServiceGroup(
        name,
        ServiceGroupArgs(
            service=name,
            zones=foundation.network.zones,
            fewest=spec.replicas.min,
            most=spec.replicas.max,
            user_data=foundation.user_data(
                make, holder=Holder(Role.SERVICE, name), app=foundation.registry.refs[built] if built else str(spec.image.ref)
            ),
            settings=settings,
            tags=foundation.tags,
        ),
    )


def build_database(foundation: Foundation, facts: StackFacts, passwords: Passwords) -> Database:
    """Postgres and its volume."""
    spec, tags = facts.mesh.database, foundation.tags
    if spec is None:
        raise ValueError("the mesh has no database; ask before building one")
    zone = foundation.network.zones[0]
    volume = DataVolume(
        "database-data",
        DataVolumeArgs(
            zone=zone,
            size_gib=spec.storage_gib,
            protect_data=facts.mesh.protect_data,
            role=Role.DATABASE,
            service=database.SERVICE,
            tags=tags,
        ),
    )
    make = partial(machine_files.database, facts)
    settings = foundation.settings(
        Role.DATABASE,
        database.SERVICE,
        make,
        instance_type=spec.instance_type,
        statements=[policies.discover(), *claims_of(facts, Role.DATABASE)],
        after=passwords.ready,
    )
    data = foundation.user_data(
        make,
        holder=Holder(Role.DATABASE, database.SERVICE),
        volume=volume.volume_id,
        address=str(database.address([zone.ranges])),
    )
    return Database("database", DatabaseArgs(zone=zone, user_data=data, settings=settings, tags=tags))


def build_monitoring(foundation: Foundation, facts: StackFacts, passwords: Passwords) -> Monitoring:
    """The machine that watches the others."""
    spec, tags = facts.mesh.observability, foundation.tags
    zone = monitoring.place(foundation.network.zones)
    volume = DataVolume(
        "monitoring-data",
        DataVolumeArgs(
            zone=zone,
            size_gib=spec.prometheus.storage_gib,
            protect_data=facts.mesh.production,
            role=Role.MONITORING,
            service=monitoring.SERVICE,
            tags=tags,
        ),
    )
    make = partial(machine_files.monitoring, facts)
    settings = foundation.settings(
        Role.MONITORING,
        monitoring.SERVICE,
        make,
        instance_type=spec.instance_type,
        statements=[policies.discover(), *claims_of(facts, Role.MONITORING)],
        after=passwords.ready,
    )
    data = foundation.user_data(make, volume=volume.volume_id, address=str(monitoring.address([zone.ranges])))
    return Monitoring("monitoring", MonitoringArgs(zone=zone, user_data=data, settings=settings, tags=tags))


def claims_of(facts: StackFacts, role: Role) -> list[policies.Statement]:
    """What a machine with a fixed address and a data volume may claim."""
    return [policies.claim_address(facts.region, facts.stack, role), *policies.attach_volume(facts.region, facts.stack, role)]


def holders_of(mesh: MeshSpec) -> list[Holder]:
    """Who gets a mesh certificate: every kind of machine with an Envoy, and the control planes."""
    holders = [Holder(Role.EDGE, "edge"), Holder(Role.CONTROL_PLANE, control_plane.SERVICE)]
    holders += [Holder(Role.OUTER_EDGE, spec.region) for spec in mesh.edge.outer]
    holders += [Holder(Role.SERVICE, name) for name in mesh.services]
    return [*holders, Holder(Role.DATABASE, database.SERVICE)] if mesh.database else holders


def builds_of(mesh: MeshSpec) -> list[str]:
    """Directories of all images that are ours to build."""
    issuer = [IDENTITY] if is_builtin(mesh) else []
    return [AGENT, CONTROL_PLANE, *issuer, *(service.image.build for service in mesh.services.values() if service.image.build)]


def secrets_of(facts: StackFacts) -> dict[str, str]:
    """Who has a password → the name of its secret."""
    users = ["postgres", *facts.mesh.callers_of("postgres")] if facts.mesh.database else []
    return {"grafana": machine_files.grafana_secret(facts.stack), **{user: database_secret(facts.stack, user) for user in users}}


def service_output(mesh: MeshSpec, name: str, group: ServiceGroup) -> dict[str, object]:
    """What the stack's outputs say of a service."""
    route = next(iter(mesh.services[name].routes), None)
    return {"group": group.group_name, "prefix": route.prefix if route else None, "auth": route.auth if route else None}


main()
