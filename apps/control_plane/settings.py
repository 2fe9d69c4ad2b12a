"""The control plane's settings, from its environment."""

from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated

from pydantic import Field

from apps.common.environment import EnvironmentModel
from model import contract

Seconds = Annotated[float, Field(gt=0, le=3600)]


class ControlPlaneSettings(EnvironmentModel):
    """A control plane on a machine of a stack. Times have shorter defaults where all machines are one host's."""

    stack: str = Field(alias="MESH_STACK")
    bucket: str = Field(alias="MESH_BUCKET")
    domain: str = Field(alias="MESH_DOMAIN")
    instance_id: str = Field("", alias="MESH_INSTANCE_ID")
    address: IPv4Address = Field(alias="MESH_ADDRESS")
    root: Path = Field(Path("/"), alias="MESH_ROOT")
    sweep: Seconds | None = Field(None, alias="MESH_SWEEP_SECONDS")
    drain: Seconds | None = Field(None, alias="MESH_DRAIN_SECONDS")
    document_seconds: Seconds = Field(1.0, alias="MESH_DOCUMENT_SECONDS")

    @property
    def sweep_seconds(self) -> float:
        """Between two looks at EC2 and Auto Scaling."""
        return self.sweep or (1.0 if self.address.is_loopback else 3.0)

    @property
    def drain_seconds(self) -> float:
        """How long a machine finishes its requests between leaving the endpoints and ending."""
        return self.drain or (2.0 if self.address.is_loopback else 20.0)

    @property
    def tls_directory(self) -> Path:
        """Where the agent puts the control plane's own certificate."""
        return self.root / contract.RUN_DIR.lstrip("/") / "tls"
