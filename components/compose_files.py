"""The Compose file of each machine role. Pure: plain data in, plain data out.

`${MESH_*}` are facts of `/etc/mesh/machine.env`, which Compose fills in on the machine. Container paths equal host
paths, so one text serves Envoy's command and the volume.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from envoy_configs.bootstrap import envoy_arguments
from model.contract import (
    ALERTMANAGER_PORT,
    CONSOLE_PORT,
    EGRESS_PORT,
    GRAFANA_PORT,
    LABEL_LOCAL_COMMAND,
    LABEL_READY,
    MACHINE_ENV,
    METRICS_PORT,
    POSTGRES_BACKEND_PORT,
    POSTGRES_PORT,
    PROMETHEUS_PORT,
    RUN_DIR,
)
from model.spec import ServiceSpec

RUN = "${MESH_ROOT}" + RUN_DIR
"""`MESH_ROOT` is empty on EC2; the local run sets it to the directory that is the machine's root."""
DATA = "${MESH_ROOT}/var/lib/mesh"
SECRETS_ENV = f"{RUN}/secrets.env"
ENVOY_USER = 101
"""uid of `envoy` in the official image; the agent hands it the keys."""
POSTGRES_USER = 999
"""uid of `postgres` in the official image; on the database machine the sidecar has it too, so that both read what the agent wrote."""
EDGE_WORKERS = 2
"""Processors of the smallest machines that edges are; a sidecar has one worker, since the app needs the rest."""
NOBODY = 65534
DATABASE = "mesh"
"""Name of the mesh's one database."""
DATABASE_ADMIN = "postgres"
USERS_SCRIPT = "postgres/users.sh"
"""Below the run directory; the agent writes it."""
POSTGRES_CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"]
"""What the official image's entrypoint needs to hand the data directory to its own user."""

Service = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ContainerImage:
    """What a container runs: an image reference, and how the local run starts the same program."""

    ref: str
    local_command: str | None = None


@dataclass(frozen=True, kw_only=True)
class Containers:
    """What the containers of one machine have in common."""

    agent: ContainerImage
    log_group: str
    region: str
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that every container of the machine gets."""
    user: int = ENVOY_USER
    """uid that owns what the agent writes, and that Envoy and our own programs run as."""
    is_local: bool = False

    def service(self, image: ContainerImage, *, local_words: str = "", **settings: Any) -> Service:
        """A service with the confinement that all have; `settings` are Compose keys."""
        labels = dict(settings.pop("labels", {}))
        if self.is_local and image.local_command:
            labels[LABEL_LOCAL_COMMAND] = " ".join(filter(None, [image.local_command, local_words]))
        options = {"awslogs-group": self.log_group, "awslogs-region": self.region}
        service = {
            "image": image.ref,
            "network_mode": "host",
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "tmpfs": ["/tmp"],
            "restart": "always",
            "logging": {"driver": "awslogs", "options": options},
            "environment": {"AWS_REGION": self.region, **self.environment, **settings.pop("environment", {})},
            **settings,
        }
        return {**service, "labels": labels} if labels else service

    def prepared(self, image: ContainerImage, **settings: Any) -> Service:
        """A service that starts when the agent has prepared the machine."""
        after = {"prepare": {"condition": "service_completed_successfully"}, **settings.pop("depends_on", {})}
        return self.service(image, depends_on=after, **settings)

    def agent_task(self, task: str, **settings: Any) -> Service:
        """A one-shot of the machine's agent; root without capabilities but the one to hand files over."""
        return self.service(
            self.agent,
            local_words=task,
            command=["python", "-m", "apps.agent", task],
            restart="no",
            user="0:0",
            cap_add=["CHOWN"],
            env_file=["${MESH_ROOT}" + MACHINE_ENV],
            volumes=["${MESH_ROOT}/etc/mesh:${MESH_ROOT}/etc/mesh:ro", f"{RUN}:{RUN}"],
            **settings,
        )

    def file(self, services: Mapping[str, Service]) -> dict[str, Any]:
        """The whole Compose file."""
        return {"name": "mesh", "services": {"prepare": self.agent_task("prepare"), **services}}


def edge(containers: Containers, *, envoy: ContainerImage) -> dict[str, Any]:
    """Envoy, and the one-shot that takes the Elastic IP once Envoy serves."""
    associate = containers.agent_task("associate")
    associate["depends_on"] = {"prepare": {"condition": "service_completed_successfully"}}
    associate["restart"] = "on-failure"
    return containers.file({"envoy": _envoy(containers, envoy, workers=EDGE_WORKERS), "associate": associate})


def service(containers: Containers, *, envoy: ContainerImage, app: ContainerImage, name: str, spec: ServiceSpec) -> dict[str, Any]:
    """The app and its sidecar."""
    settings: dict[str, Any] = {"command": list(spec.command)} if spec.command else {}
    own = containers.prepared(
        app,
        environment=_app_environment(name, spec),
        # Compose stops it before the sidecar, so its last answers and its goodbyes to WebSocket clients still get out.
        depends_on={"envoy": {"condition": "service_started"}},
        # Compose reads it when it loads: the boot unit has run `prepare` before.
        env_file=["${MESH_ROOT}" + MACHINE_ENV, {"path": SECRETS_ENV, "required": False}],
        stop_grace_period="30s",
        labels={LABEL_READY: _ready(spec)},
        **settings,
    )
    return containers.file({"envoy": _envoy(containers, envoy, workers=1), "app": own})


def control_plane(containers: Containers, *, image: ContainerImage, environment: Mapping[str, str]) -> dict[str, Any]:
    """The xDS server."""
    own = containers.prepared(
        image,
        command=["python", "-m", "apps.control_plane"],
        user=f"{containers.user}:{containers.user}",
        env_file=["${MESH_ROOT}" + MACHINE_ENV],
        environment=dict(environment),
        volumes=[f"{RUN}:{RUN}:ro"],
        labels={LABEL_READY: f"http://${{MESH_ADDRESS}}:{CONSOLE_PORT}/ready"},
    )
    return containers.file({"control-plane": own})


def database(containers: Containers, *, envoy: ContainerImage, postgres: ContainerImage) -> dict[str, Any]:
    """Postgres on loopback, the sidecar that the mesh reaches it through, and the one-shot that makes its users what they should be."""
    server = containers.prepared(
        postgres,
        command=["postgres", "-c", "listen_addresses=${MESH_LOOPBACK}", "-c", f"port={POSTGRES_BACKEND_PORT}"],
        cap_add=POSTGRES_CAPABILITIES,
        env_file=[{"path": SECRETS_ENV, "required": False}],
        environment={
            "PGDATA": f"{DATA}/postgres/data",
            "POSTGRES_DB": DATABASE,
            "POSTGRES_USER": DATABASE_ADMIN,
            "POSTGRES_HOST_AUTH_METHOD": "scram-sha-256",
            # Without it initdb trusts whoever connects from 127.0.0.1.
            "POSTGRES_INITDB_ARGS": "--auth-host=scram-sha-256 --data-checksums --encoding=UTF8 --locale=C",
        },
        tmpfs=["/tmp", "/var/run/postgresql"],
        volumes=[f"{DATA}/postgres:{DATA}/postgres"],
        shm_size="256mb",
        stop_signal="SIGINT",
        stop_grace_period="60s",
        labels={LABEL_READY: f"tcp://${{MESH_LOOPBACK}}:{POSTGRES_BACKEND_PORT}"},
    )
    users = containers.prepared(
        postgres,
        command=["sh", f"{RUN}/{USERS_SCRIPT}"],
        user=f"{containers.user}:{containers.user}",
        env_file=[{"path": SECRETS_ENV, "required": False}],
        environment={
            "PGHOST": "${MESH_LOOPBACK}",
            "PGPORT": str(POSTGRES_BACKEND_PORT),
            "PGDATABASE": DATABASE,
            "PGUSER": DATABASE_ADMIN,
        },
        volumes=[f"{RUN}:{RUN}:ro"],
        restart="on-failure",
    )
    return _with_volume(containers.file({"envoy": _envoy(containers, envoy, workers=1), "postgres": server, "users": users}))


def monitoring(
    containers: Containers, *, prometheus: ContainerImage, grafana: ContainerImage, alertmanager: ContainerImage, retention: str
) -> dict[str, Any]:
    """Prometheus, Grafana and Alertmanager; reached through Session Manager only."""
    user = f"{NOBODY}:{NOBODY}"

    def own(image: ContainerImage, port: int, ready: str, directory: str, **settings: Any) -> Service:
        volumes = [f"{RUN}:{RUN}:ro", f"{DATA}/{directory}:{DATA}/{directory}"]
        label = {LABEL_READY: f"http://${{MESH_ADDRESS}}:{port}{ready}"}
        return containers.prepared(image, user=user, volumes=volumes, labels=label, **settings)

    file = containers.file(
        {
            "prometheus": own(
                prometheus,
                PROMETHEUS_PORT,
                "/-/ready",
                "prometheus",
                command=[
                    f"--config.file={RUN}/prometheus.yaml",
                    # Not the volume's root: ext4 has a directory of its own there.
                    f"--storage.tsdb.path={DATA}/prometheus/data",
                    f"--storage.tsdb.retention.time={retention}",
                    f"--web.listen-address=${{MESH_ADDRESS}}:{PROMETHEUS_PORT}",
                ],
            ),
            "alertmanager": own(
                alertmanager,
                ALERTMANAGER_PORT,
                "/-/ready",
                "alertmanager",
                command=[
                    f"--config.file={RUN}/alertmanager.yaml",
                    f"--storage.path={DATA}/alertmanager",
                    f"--web.listen-address=${{MESH_ADDRESS}}:{ALERTMANAGER_PORT}",
                    "--cluster.listen-address=",
                ],
            ),
            "grafana": own(
                grafana,
                GRAFANA_PORT,
                "/api/health",
                "grafana",
                env_file=[{"path": SECRETS_ENV, "required": False}],
                environment={
                    "GF_AUTH_ANONYMOUS_ENABLED": "false",
                    "GF_PATHS_DATA": f"{DATA}/grafana",
                    "GF_PATHS_PROVISIONING": f"{RUN}/grafana",
                    "GF_SERVER_HTTP_ADDR": "${MESH_ADDRESS}",
                    "GF_SERVER_HTTP_PORT": str(GRAFANA_PORT),
                },
            ),
        }
    )
    return _with_volume(file)


def _with_volume(file: dict[str, Any]) -> dict[str, Any]:
    """Formatting and mounting a data volume is the host's business; only the agent's one-shot may."""
    prepare = file["services"]["prepare"]
    prepare["privileged"] = True
    prepare["volumes"] += ["/dev:/dev", {"type": "bind", "source": DATA, "target": DATA, "bind": {"propagation": "rshared"}}]
    return file


def _envoy(containers: Containers, image: ContainerImage, *, workers: int) -> Service:
    return containers.prepared(
        image,
        command=["envoy", *envoy_arguments(workers=workers)],
        user=f"{containers.user}:{containers.user}",
        volumes=[f"{RUN}:{RUN}:ro"],
        labels={LABEL_READY: f"http://${{MESH_ADDRESS}}:{METRICS_PORT}/ready"},
    )


def _app_environment(name: str, spec: ServiceSpec) -> dict[str, str]:
    database = {
        "PGHOST": "${MESH_LOOPBACK}",
        "PGPORT": str(POSTGRES_PORT),
        "PGDATABASE": DATABASE,
        "PGUSER": name,
    }
    return {
        # A dollar sign in a user's value is text, not a variable of Compose.
        **{variable: value.replace("$", "$$") for variable, value in spec.env.items()},
        "HOST": "${MESH_LOOPBACK}",
        "PORT": str(spec.port),
        "MESH_SERVICE": name,
        "MESH_EGRESS_URL": f"http://${{MESH_LOOPBACK}}:{EGRESS_PORT}",
        **(database if "postgres" in spec.calls else {}),
    }


def _ready(spec: ServiceSpec) -> str:
    place = f"${{MESH_LOOPBACK}}:{spec.port}"
    if spec.protocol == "grpc":
        return f"grpc://{place}"
    if spec.protocol == "http" and spec.health and spec.health.expected is None:
        return f"http://{place}{spec.health.path}"
    return f"tcp://{place}"
