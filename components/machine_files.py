"""What each machine role boots from: Compose file, agent's task and templates, made from the mesh alone. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from components import compose_files
from components.compose_files import ContainerImage, Containers
from components.log_groups import log_group_name
from components.user_data import FIRST_UNPRIVILEGED_PORT, Directory, MachineFiles
from envoy_configs import bootstrap
from model.contract import Role, ca_parameter, database_secret, parameter_name, tls_parameter
from model.spec import MeshSpec
from observability import alertmanager, grafana, prometheus, rules

DATABASE_SERVICE = "postgres"
MONITORING_SERVICE = "monitoring"
DATA = "/var/lib/mesh"
VOLUME_LABEL = "mesh-data"
GRAFANA_PASSWORD = "GF_SECURITY_ADMIN_PASSWORD"


@dataclass(frozen=True, kw_only=True)
class Built:
    """What is only known while Pulumi runs, as plain values."""

    agent: str = ""
    """Reference of the agent's image."""
    app: str = ""
    """Reference of the role's own image: the service's app, or the control plane."""
    bucket: str = ""
    """Bucket of the mesh document."""
    allocation: str = ""
    """Allocation id of the edge's Elastic IP."""
    public_ip: str = ""
    """The edge's Elastic IP."""
    address: str = ""
    """The machine's fixed address."""
    volume: str = ""
    """Id of the machine's data volume."""
    redirects: str = ""
    """Where the built-in issuer may send browsers back to, separated by spaces."""
    certificate: str = ""
    """Fingerprint of the machine's mesh certificate."""


@dataclass(frozen=True, kw_only=True)
class StackFacts:
    """What all machines of a stack have in common and the program knows from the start."""

    stack: str
    region: str
    """Where the machines are that these facts are for."""
    mesh: MeshSpec
    control_planes: tuple[str, ...]
    """Addresses of the control planes."""


def edge(facts: StackFacts, built: Built, *, role: Role = Role.EDGE, service: str = "edge") -> MachineFiles:
    """An edge, or an outer one; its address is its own only where all machines are one host's."""
    mesh = facts.mesh
    public = built.public_ip if mesh.is_local else ""
    compose = compose_files.edge(_containers(facts, role, service, built), envoy=ContainerImage(ref=mesh.machines.images.envoy))
    return MachineFiles(
        machine=f"{role}/{service}",
        compose=compose,
        agent={**_keys(facts, role, service), "allocation": built.allocation},
        templates=_envoy_template(facts, role, service, public_addresses=public),
        lowest_port=min(mesh.edge.https, mesh.edge.http, FIRST_UNPRIVILEGED_PORT),
        certificate=built.certificate,
        own_loopback=mesh.is_local,
    )


def service(facts: StackFacts, name: str, built: Built) -> MachineFiles:
    """A machine of a service's group."""
    mesh, spec = facts.mesh, facts.mesh.services[name]
    secrets: dict[str, dict[str, str]] = {variable: {"parameter": parameter} for variable, parameter in spec.secrets.items()}
    if "postgres" in spec.calls:
        secrets["PGPASSWORD"] = {"secret": database_secret(facts.stack, name)}
    return MachineFiles(
        machine=f"{Role.SERVICE}/{name}",
        compose=compose_files.service(
            _containers(facts, Role.SERVICE, name, built),
            envoy=ContainerImage(ref=mesh.machines.images.envoy),
            app=ContainerImage(ref=built.app, local_command=spec.image.local_command),
            name=name,
            spec=spec,
        ),
        agent={**_keys(facts, Role.SERVICE, name), "environment": secrets},
        templates=_envoy_template(facts, Role.SERVICE, name),
        certificate=built.certificate,
        own_loopback=mesh.is_local,
    )


def control_plane(facts: StackFacts, built: Built) -> MachineFiles:
    """A control plane."""
    mesh = facts.mesh
    return MachineFiles(
        machine=f"{Role.CONTROL_PLANE}/control-plane",
        compose=compose_files.control_plane(
            _containers(facts, Role.CONTROL_PLANE, "control-plane", built),
            image=ContainerImage(ref=built.app, local_command="python -m apps.control_plane"),
            environment={"MESH_STACK": facts.stack, "MESH_BUCKET": built.bucket, "MESH_DOMAIN": mesh.domain},
        ),
        agent={**_keys(facts, Role.CONTROL_PLANE, "control-plane"), "address": built.address},
        certificate=built.certificate,
        address=built.address,
        own_loopback=mesh.is_local,
    )


def database(facts: StackFacts, built: Built) -> MachineFiles:
    """The Postgres machine."""
    mesh, images = facts.mesh, facts.mesh.machines.images
    users = mesh.callers_of("postgres")
    secrets = {"POSTGRES_PASSWORD": {"secret": database_secret(facts.stack, compose_files.DATABASE_ADMIN)}}
    secrets |= {_password_variable(user): {"secret": database_secret(facts.stack, user)} for user in users}
    return MachineFiles(
        machine=f"{Role.DATABASE}/{DATABASE_SERVICE}",
        compose=compose_files.database(
            _containers(facts, Role.DATABASE, DATABASE_SERVICE, built),
            envoy=ContainerImage(ref=images.envoy),
            postgres=ContainerImage(ref=mesh.images["postgres"]),
        ),
        agent={
            **_keys(facts, Role.DATABASE, DATABASE_SERVICE),
            "address": built.address,
            "environment": secrets,
            "volume": _volume(built, DATABASE_SERVICE),
        },
        templates={**_envoy_template(facts, Role.DATABASE, DATABASE_SERVICE), compose_files.USERS_SCRIPT: users_script(users)},
        directories=(Directory(path=DATA, owner=0),),
        certificate=built.certificate,
        address=built.address,
        own_loopback=mesh.is_local,
    )


def monitoring(facts: StackFacts, built: Built) -> MachineFiles:
    """The monitoring machine."""
    mesh, images = facts.mesh, facts.mesh.machines.images
    compose = compose_files.monitoring(
        _containers(facts, Role.MONITORING, MONITORING_SERVICE, built, environment={"MESH_EC2_ENDPOINT": _ec2_endpoint(facts)}),
        prometheus=ContainerImage(ref=images.prometheus),
        grafana=ContainerImage(ref=images.grafana),
        alertmanager=ContainerImage(ref=images.alertmanager),
        retention=mesh.observability.prometheus.retention,
    )
    return MachineFiles(
        machine=f"{Role.MONITORING}/{MONITORING_SERVICE}",
        compose=compose,
        agent={
            "address": built.address,
            "owner": compose_files.NOBODY,
            "environment": {GRAFANA_PASSWORD: {"secret": grafana_secret(facts.stack)}},
            "volume": _volume(built, "prometheus"),
        },
        templates=monitoring_templates(facts),
        directories=(
            Directory(path=DATA, owner=0),
            *(Directory(path=f"{DATA}/{name}", owner=compose_files.NOBODY) for name in ("alertmanager", "grafana")),
        ),
        address=built.address,
        own_loopback=mesh.is_local,
    )


@dataclass(frozen=True, kw_only=True)
class Reads:
    """Names of the secrets that a machine's agent reads, which its role must therefore allow."""

    parameters: tuple[str, ...]
    secrets: tuple[str, ...]


def reads(files: MachineFiles) -> Reads:
    """What the agent's task names; it depends on nothing that only a running Pulumi knows."""
    sources = [source for part in ("files", "environment") for source in files.agent.get(part, {}).values()]
    return Reads(
        parameters=tuple(sorted(source["parameter"] for source in sources if "parameter" in source)),
        secrets=tuple(sorted(source["secret"] for source in sources if "secret" in source)),
    )


def monitoring_templates(facts: StackFacts) -> dict[str, str]:
    """The configs of the monitoring machine's programs."""
    config = prometheus.config(facts.mesh, stack=facts.stack, region=facts.region, directory=compose_files.RUN)
    files = {
        "prometheus.yaml": config,
        prometheus.RULES_FILE: rules.rules(),
        "alertmanager.yaml": alertmanager.config(),
        "grafana/datasources/prometheus.yaml": grafana.data_source(),
        "grafana/dashboards/mesh.yaml": grafana.dashboard_provider(f"{compose_files.RUN}/dashboards"),
    }
    texts = {name: yaml.safe_dump(data, sort_keys=False, width=10**9) for name, data in files.items()}
    return {**texts, "dashboards/overview.json": json.dumps(grafana.overview())}


def grafana_secret(stack: str) -> str:
    """Secrets Manager name of Grafana's admin password."""
    return parameter_name(stack, "grafana", "admin")


def _volume(built: Built, directory: str) -> dict[str, str]:
    """The agent's task on a machine with a data volume."""
    return {"id": built.volume, "label": VOLUME_LABEL, "mount": f"{DATA}/{directory}"}


def _ec2_endpoint(facts: StackFacts) -> str:
    """Where a process on the machine finds EC2's API: Compose knows another place where its environment says one.

    A local machine that is told no place asks a closed port: nothing of a local stack may reach AWS.
    """
    otherwise = "http://127.0.0.1:1" if facts.mesh.is_local else f"https://ec2.{facts.region}.amazonaws.com"
    return f"${{AWS_ENDPOINT_URL:-{otherwise}}}"


def _containers(facts: StackFacts, role: Role, service: str, built: Built, *, environment: Mapping[str, str] | None = None) -> Containers:
    return Containers(
        agent=ContainerImage(ref=built.agent, local_command="python -m apps.agent"),
        log_group=log_group_name(facts.stack, role, service),
        region=facts.region,
        environment=environment or {},
        user=_user(role),
        is_local=facts.mesh.is_local,
    )


def _keys(facts: StackFacts, role: Role, service: str) -> dict[str, object]:
    """The agent's task on every machine with a mesh certificate."""
    files = {
        "tls/ca.pem": {"parameter": ca_parameter(facts.stack)},
        "tls/certificate.pem": {"parameter": tls_parameter(facts.stack, role, service, "certificate")},
        "tls/key.pem": {"parameter": tls_parameter(facts.stack, role, service, "key")},
    }
    return {"files": files, "owner": _user(role)}


def _user(role: Role) -> int:
    return compose_files.POSTGRES_USER if role is Role.DATABASE else compose_files.ENVOY_USER


def _envoy_template(facts: StackFacts, role: Role, service: str, *, public_addresses: str = "") -> dict[str, str]:
    args = bootstrap.BootstrapArgs(
        role=role,
        service=service,
        domain=facts.mesh.domain,
        control_planes=facts.control_planes,
        origin=role is Role.EDGE and bool(facts.mesh.edge.outer),
        public_addresses=public_addresses,
    )
    return {bootstrap.TEMPLATE_NAME: bootstrap.template(args)}


def _password_variable(user: str) -> str:
    return "PASSWORD_" + user.upper().replace("-", "_")


def users_script(users: list[str]) -> str:
    """Makes each service a user with a schema of its own, whatever there was before; runs at each boot, as the image's `psql` client.

    A user that no service is any more keeps its data and loses nothing but its way: no sidecar leads it to Postgres.
    """
    lines = ["set -eu", 'export PGPASSWORD="$POSTGRES_PASSWORD"', "until pg_isready --quiet; do sleep 0.2; done"]
    for user in users:
        lines += [
            f"psql --no-psqlrc --quiet --single-transaction -v ON_ERROR_STOP=1 -v name={user} <<'SQL'",
            "SET client_min_messages = warning;",
            f'\\set password `printf %s "${_password_variable(user)}"`',
            "SELECT format('CREATE ROLE %I', :'name') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'name') \\gexec",
            "ALTER ROLE :\"name\" LOGIN PASSWORD :'password';",
            'GRANT CONNECT ON DATABASE :"DBNAME" TO :"name";',
            'CREATE SCHEMA IF NOT EXISTS :"name";',
            'ALTER SCHEMA :"name" OWNER TO :"name";',
            "SQL",
        ]
    return "\n".join([*lines, ""])
