"""What the mesh tells an app about its machine: the environment of ARCHITECTURE.md, "What an app gets"."""

from collections.abc import Mapping

from pydantic import Field

from apps.common.environment import EnvironmentModel
from model.contract import VIA_HEADER

FORWARDED_HEADERS = ("x-request-id", "traceparent", "tracestate", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled")
"""What an app copies from a request to its own calls, so that they stay one trace (Envoy: tracing, context propagation)."""


class Machine(EnvironmentModel):
    """The app's place in the mesh."""

    host: str = Field(alias="HOST")
    port: int = Field(alias="PORT")
    service: str = Field(alias="MESH_SERVICE")
    instance_id: str = Field(alias="MESH_INSTANCE_ID")
    zone: str = Field(alias="MESH_ZONE")
    address: str = Field(alias="MESH_ADDRESS")
    egress_url: str = Field(alias="MESH_EGRESS_URL")
    """The sidecar's egress listener; it routes by authority."""

    @property
    def egress_target(self) -> str:
        """`host:port` of the egress listener, as a gRPC channel wants it."""
        return self.egress_url.split("://", 1)[1].rstrip("/")


class Postgres(EnvironmentModel):
    """How the app reaches Postgres through its sidecar; the variables are libpq's."""

    host: str = Field(alias="PGHOST")
    port: int = Field(alias="PGPORT")
    dbname: str = Field(alias="PGDATABASE")
    user: str = Field(alias="PGUSER")
    password: str = Field(alias="PGPASSWORD", repr=False)


def forwarded(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of a request that belong on the calls made for it; names in lower case."""
    return {name: headers[name] for name in FORWARDED_HEADERS if name in headers}


def machines_passed(headers: Mapping[str, str]) -> list[str]:
    """Node ids of the Envoys that a request went through, outermost first (RFC 9110 §7.6.3)."""
    entries = (entry.split() for entry in headers.get(VIA_HEADER, "").split(","))
    return [parts[1] for parts in entries if len(parts) >= 2]
