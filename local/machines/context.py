"""What all parts of one machine share: who it is, where its files are, and the environment of its programs."""

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local.machines.compose import ComposeService
from local.machines.records import ProcessRecords
from local.machines.user_data import read_machine_env

REPOSITORY = Path(__file__).resolve().parents[2]
"""Where our own programs are imported from: the images of ours hold the same tree."""

INDEX_ACCESS = ("SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "https_proxy")
"""How programs that download reach what they download from, besides uv's own settings."""


@dataclass(frozen=True, kw_only=True)
class MachineContext:
    """One machine's place on this host."""

    instance_id: str
    role: str
    directory: Path
    """`root/` is the machine's file system, `logs/` one file a service."""
    volume_directory: Path
    """Where its data volumes are; they outlive machines."""
    records: ProcessRecords
    cloud: Mapping[str, str] = field(default_factory=dict)
    """What AWS clients on the machine read: endpoint, region, credentials."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """machine.env and MESH_ROOT."""

    @property
    def root(self) -> Path:
        return self.directory / "root"

    def log(self, service: str) -> Path:
        """The log of a service."""
        return self.directory / "logs" / f"{service}.log"

    def process_environment(self, service: ComposeService) -> dict[str, str]:
        """What a container of the service would see, and the few variables that stand in for image and instance role.

        Nothing is inherited but PATH and how this host reaches package indexes, from which local commands such as `uvx`
        take what a machine on AWS takes from a registry: a developer's credentials and settings stay out.
        """
        values = {
            **{name: value for name, value in os.environ.items() if name in INDEX_ACCESS or name.startswith("UV_")},
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
            "HOME": str(self.root / "root"),
            "TMPDIR": str(self.root / "tmp"),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONUNBUFFERED": "1",
            **self.cloud,
            **self.facts,
        }
        for file in service.env_files:
            path = self.host_path(service, file.path)
            if path.exists() or file.required:
                values.update(read_machine_env(path))
        return {**values, **service.environment}

    def host_path(self, service: ComposeService, path: str) -> Path:
        """Where a path inside a service's container is on this host."""
        if Path(path).is_relative_to(self.root):
            return Path(path)
        for mount in sorted(service.mounts, key=lambda mount: len(mount.target), reverse=True):
            if Path(path).is_relative_to(mount.target):
                inside = Path(path).relative_to(mount.target)
                source = Path(mount.source)
                return (source if source.is_relative_to(self.root) else self.root / mount.source.lstrip("/")) / inside
        return self.root / path.lstrip("/")

    def make_directories(self) -> None:
        """A fresh file system with the directories that every Linux has."""
        shutil.rmtree(self.root, ignore_errors=True)
        for name in ("etc", "root", "run", "tmp", "var/lib", "var/log"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        self.log("boot").parent.mkdir(parents=True, exist_ok=True)
