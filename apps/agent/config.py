"""The agent's task, as user data writes it to `/etc/mesh/agent.json`.

    {"files":       {"tls/ca.pem": {"parameter": "/envoy-mesh/dev/tls/ca"}},
     "environment": {"PGPASSWORD": {"secret": "/envoy-mesh/dev/database/service-1"}},
     "owner": 101,
     "address":     "10.20.24.12",
     "volume":      {"id": "vol-0123", "label": "mesh-data", "mount": "/var/lib/mesh/postgres"},
     "allocation":  "eipalloc-0123"}

Every key is optional; no value is a secret itself, only the name of one.
"""

from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from apps.common.errors import MeshError

CONFIG_FILE = "/etc/mesh/agent.json"
EXT4_LABEL_LIMIT = 16
"""Bytes that ext4 keeps of a label; a longer one would be cut and the mount by label would never find it."""


def _below_run_dir(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts:
        raise ValueError(f"{path!r} must be a path below the run directory, without a leading / and without ..")
    return path


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SecretSource(_Strict):
    """Where a value comes from: an SSM parameter or a Secrets Manager secret, by name."""

    parameter: str | None = None
    secret: str | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> "SecretSource":
        if (self.parameter is None) == (self.secret is None):
            raise ValueError("give exactly one of `parameter` (SSM) and `secret` (Secrets Manager)")
        return self

    def __str__(self) -> str:
        return f"parameter {self.parameter}" if self.parameter else f"secret {self.secret}"


class VolumeTask(_Strict):
    """A data volume to attach, to format when it is blank, and to mount by its label."""

    id: Annotated[str, Field(pattern=r"^vol-[0-9a-f]+$")]
    label: Annotated[str, Field(min_length=1, max_length=EXT4_LABEL_LIMIT)]
    mount: Annotated[str, Field(pattern=r"^/")]

    @property
    def device(self) -> Path:
        """The link that udev makes for an EBS volume on a Nitro machine."""
        return Path("/dev/disk/by-id") / f"nvme-Amazon_Elastic_Block_Store_{self.id.replace('-', '')}"


class AgentConfig(_Strict):
    """The whole task of one machine."""

    files: dict[Annotated[str, AfterValidator(_below_run_dir)], SecretSource] = {}
    """File below the run directory → what goes into it (mode 0600)."""
    environment: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], SecretSource] = {}
    """Variable of `secrets.env` → its value."""
    owner: Annotated[int, Field(ge=0)] | None = None
    """uid and gid that get the written files when the agent runs as root; the proxy's or the control plane's user."""
    address: IPv4Address | None = None
    """Fixed address that the machine claims for its network interface."""
    volume: VolumeTask | None = None
    allocation: Annotated[str, Field(pattern=r"^eipalloc-[0-9a-f]+$")] | None = None
    """Elastic IP that `associate` moves to this machine."""


def machine_root(env: Mapping[str, str]) -> Path:
    """Root of the machine's file system: `/`, or `MESH_ROOT` where a machine is a directory of a development host."""
    return Path(env.get("MESH_ROOT") or "/")


def read_config(env: Mapping[str, str]) -> AgentConfig:
    """Reads the machine's task; raises MeshError with the file and every mistake in it."""
    path = machine_root(env) / CONFIG_FILE.lstrip("/")
    try:
        return AgentConfig.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise MeshError(f"{path}: not there; user data writes it on every machine that runs the agent") from None
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise MeshError(f"{path}: " + "; ".join(problems)) from None
