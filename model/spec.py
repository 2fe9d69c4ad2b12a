"""`MeshSpec`, the only description of a mesh, as it stands in `Pulumi.<stack>.yaml` under `envoy-mesh:mesh`.

Three readers: the Pulumi program, the mesh document, the control plane. Keys are camelCase in YAML. What a single
value must look like is said here; what must hold between values is in `rules`; `read.read_mesh` applies both.
"""

from ipaddress import IPv4Network
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictInt

from model import words
from model.base import InstanceType, Port, Spec
from model.edge import BridgeSpec, EdgeSpec, RouteSpec

LOCAL_NETWORK = IPv4Network("127.0.0.0/8")

Name = Annotated[str, BeforeValidator(words.service_name)]
Text = Annotated[str, BeforeValidator(words.text)]
ProgramText = Annotated[str, BeforeValidator(words.program_text)]


class NetworkSpec(Spec):
    cidr: Annotated[IPv4Network, BeforeValidator(words.network)] = Field(
        description="the VPC's range, /16 to /20", examples=["10.20.0.0/16"]
    )
    zones: StrictInt = Field(2, ge=1, le=6, description="availability zones to spread over", examples=[2])
    nat: Literal["none", "single", "per-zone"] = Field(
        "single", description="NAT gateways; `none` makes interface endpoints instead", examples=["single"]
    )


class LocalImageSpec(Spec):
    command: Annotated[str, BeforeValidator(words.local_command)] = Field(
        description="how to start the program without Docker; {host} and {port} are filled in",
        examples=['"python -m web --host {host} --port {port}"'],
    )


class ImageSpec(Spec):
    """An app's container image: `build` (a directory of the repository) or `ref` (a registry's), never both."""

    build: Annotated[str, BeforeValidator(words.build_directory)] | None = Field(
        None, description="directory with a Dockerfile, relative to the repository", examples=["apps/http_service"]
    )
    ref: Annotated[str, BeforeValidator(words.image_ref)] | None = Field(
        None, description="image reference with tag or digest", examples=['"registry/name@sha256:…"']
    )
    local: LocalImageSpec | None = None

    @property
    def local_command(self) -> str | None:
        """How the process runtime starts the program: as written, else `python -m` on the package that `build` names."""
        if self.local:
            return self.local.command
        return f"python -m {self.build.strip('/').replace('/', '.')}" if self.build else None


class ReplicasSpec(Spec):
    min: StrictInt = Field(2, ge=1, le=100, description="fewest instances of the group", examples=[2])
    max: StrictInt = Field(4, ge=1, le=100, description="most instances of the group", examples=[4])


class HealthSpec(Spec):
    path: Annotated[str, BeforeValidator(words.health_path)] = Field("/", description="path of the health check", examples=["/health"])
    expected: StrictInt | None = Field(
        None, ge=100, le=599, description="the one status that counts as healthy; without it any below 500", examples=[200]
    )


class ServiceSpec(Spec):
    protocol: Literal["http", "grpc", "tcp"] = Field("http", description="what the app speaks on its port", examples=["http"])
    image: ImageSpec = Field(description="`build` or `ref`", examples=["{build: apps/http_service}"])
    port: Port = Field(description="where the app listens on its machine's loopback", examples=[8080])
    replicas: ReplicasSpec = ReplicasSpec()
    routes: list[RouteSpec] = Field([], description="a list of routes", examples=["[{prefix: /web}]"])
    calls: list[Text] = Field([], description="a list of services that the app may call, or `postgres`", examples=["[grpc-1, postgres]"])
    bridge: BridgeSpec | None = Field(None, description="how HTTP clients reach a gRPC service through the edge")
    health: HealthSpec | None = None
    metrics: Annotated[str, BeforeValidator(words.metrics_path)] | None = Field(
        None, description="path of the app's Prometheus metrics; without it only its sidecar is scraped", examples=["/metrics"]
    )
    env: dict[Annotated[str, BeforeValidator(words.variable)], ProgramText] = Field(
        {},
        description="environment variables of the app, as text; compressed, a few KB at most, since user data has 16 KB",
        examples=['{LOG_LEVEL: "info"}'],
    )
    secrets: dict[Annotated[str, BeforeValidator(words.variable)], Annotated[str, BeforeValidator(words.parameter)]] = Field(
        {}, description="environment variables filled from SSM parameters", examples=["{API_KEY: /team/api-key}"]
    )
    instance_type: InstanceType = Field("t3.small", description="an EC2 instance type", examples=["t3.small"])
    command: list[ProgramText] | None = Field(
        None, min_length=1, description="arguments that replace the image's command", examples=['["serve"]']
    )

    @property
    def edge_routes(self) -> dict[str, RouteSpec]:
        """What leads from the edge to the service, by its place in the service's config; a bridge is seen as a route."""
        routes = {f"routes[{index}]": route for index, route in enumerate(self.routes)}
        return routes | ({"bridge": self.bridge.route} if self.bridge else {})


class DatabaseSpec(Spec):
    engine: Literal["postgres"] = Field("postgres", description="the database engine", examples=["postgres"])
    version: Annotated[str, BeforeValidator(words.postgres_version)] = Field(
        "18", description="major version, in quotes", examples=['"18"']
    )
    storage: Annotated[str, BeforeValidator(words.storage)] = Field("20GiB", description="size of the data volume", examples=["20GiB"])
    protect: StrictBool | None = Field(None, description="refuse to delete the data volume; default: only in production", examples=["true"])
    instance_type: InstanceType = Field("t3.medium", description="an EC2 instance type", examples=["t3.medium"])

    @property
    def storage_gib(self) -> int:
        """Size of the data volume in GiB."""
        return words.gibibytes(self.storage)

    @property
    def default_image(self) -> str:
        """The official image of the version."""
        return f"postgres:{self.version}"


class PrometheusSpec(Spec):
    retention: Annotated[str, BeforeValidator(words.retention)] = Field("15d", description="how long samples are kept", examples=["15d"])
    storage: Annotated[str, BeforeValidator(words.storage)] = Field(
        "20GiB", description="size of the volume that holds the samples", examples=["20GiB"]
    )

    @property
    def storage_gib(self) -> int:
        """Size of the volume in GiB."""
        return words.gibibytes(self.storage)


class ObservabilitySpec(Spec):
    prometheus: PrometheusSpec = PrometheusSpec()
    instance_type: InstanceType = Field("t3.medium", description="an EC2 instance type", examples=["t3.medium"])


class MachineImagesSpec(Spec):
    """Container images that are not ours; by digest where `production` is set."""

    envoy: Annotated[str, BeforeValidator(words.image_ref)] = Field(
        "envoyproxy/envoy:contrib-v1.40.0",
        description="Envoy of edges and sidecars; a contrib build, which has the Postgres filter",
        examples=["envoyproxy/envoy@sha256:…"],
    )
    postgres: Annotated[str, BeforeValidator(words.image_ref)] | None = Field(
        None, description="Postgres of the database machine; default `postgres:<database.version>`", examples=["postgres@sha256:…"]
    )
    prometheus: Annotated[str, BeforeValidator(words.image_ref)] = Field(
        "prom/prometheus:v3.5.0", description="Prometheus of the monitoring machine", examples=["prom/prometheus@sha256:…"]
    )
    grafana: Annotated[str, BeforeValidator(words.image_ref)] = Field(
        "grafana/grafana:12.1.0", description="Grafana of the monitoring machine", examples=["grafana/grafana@sha256:…"]
    )
    alertmanager: Annotated[str, BeforeValidator(words.image_ref)] = Field(
        "prom/alertmanager:v0.28.1", description="Alertmanager of the monitoring machine", examples=["prom/alertmanager@sha256:…"]
    )


class MachinesSpec(Spec):
    ami: Annotated[str, BeforeValidator(words.ami)] | None = Field(
        None, description="id of an Ubuntu 24.04 LTS image in the stack's region", examples=["ami-0123456789abcdef0"]
    )
    images: MachineImagesSpec = MachineImagesSpec()
    control_plane_type: InstanceType = Field("t3.small", description="an EC2 instance type", examples=["t3.small"])

    def images_with(self, database: DatabaseSpec | None) -> dict[str, str]:
        """The images by their key, with that of the database's version where none is named; without a database none of Postgres."""
        named: dict[str, str] = self.images.model_dump(exclude_none=True)
        return {**named, "postgres": named.get("postgres", database.default_image)} if database else named


class QuotasSpec(Spec):
    """Limits of the AWS account that a config can exceed; the defaults are AWS's own."""

    elastic_ips: StrictInt = Field(5, ge=1, description="Elastic IPs of the account in a region", examples=[5])
    rules_per_group: StrictInt = Field(60, ge=1, le=1000, description="rules per security group and direction", examples=[60])


class MeshSpec(Spec):
    domain: Annotated[str, BeforeValidator(words.domain)] = Field(
        description="private DNS zone of the mesh", examples=["dev.mesh.internal"]
    )
    network: NetworkSpec = Field(description="the VPC", examples=["{cidr: 10.20.0.0/16}"])
    edge: EdgeSpec = EdgeSpec()
    services: dict[Name, ServiceSpec] = Field(
        min_length=1,
        description="name and description of each service",
        examples=["{web: {image: {build: apps/http_service}, port: 8080}}"],
    )
    database: DatabaseSpec | None = None
    observability: ObservabilitySpec = Field(ObservabilitySpec(), examples=["{prometheus: {retention: 15d}}"])
    machines: MachinesSpec = Field(MachinesSpec(), examples=["{ami: ami-0123456789abcdef0}"])
    quotas: QuotasSpec = QuotasSpec()
    production: StrictBool = Field(False, description="digests, protection and a KMS secrets provider are required", examples=["true"])

    @property
    def is_local(self) -> bool:
        """Whether the mesh runs on this machine's loopback network instead of AWS."""
        return self.network.cidr.subnet_of(LOCAL_NETWORK)

    @property
    def protect_data(self) -> bool:
        """Whether Pulumi refuses to delete the database's volume."""
        wanted = self.database.protect if self.database else None
        return self.production if wanted is None else wanted

    @property
    def images(self) -> dict[str, str]:
        """Container images that are not ours, by their key under `machines.images`."""
        return self.machines.images_with(self.database)

    def callers_of(self, callee: str) -> list[str]:
        """Names of the services that list `callee` in their `calls`, in the config's order."""
        return [name for name, service in self.services.items() if callee in service.calls]

    def document(self) -> dict[str, Any]:
        """The mesh as plain JSON data, as the mesh document holds it; `read_mesh` takes it back."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
