"""Discovery from two files, for the standalone mode, tests and benches: what is wanted and what is there.

    # endpoints.yaml: group → its machines; `id`, `zone` and `draining` may be left out
    edge: [{address: 127.0.0.2}]
    service-1: [{address: 127.0.0.3, zone: a}, {address: 127.0.0.4, draining: true}]
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, IPvAnyAddress, TypeAdapter, ValidationError

from apps.control_plane.discovery.reports import DocumentReport, EndpointsReport, FaultReport, Publish, Report, Sighting, SweepReport
from model import contract
from model.contract import Role

POLL_SECONDS = 0.2
STACK = "standalone"
ROLES = {"edge": Role.EDGE, "postgres": Role.DATABASE, "control-plane": Role.CONTROL_PLANE, "monitoring": Role.MONITORING}
"""Groups that are no services of the mesh."""


class StaticEndpoint(BaseModel):
    """A machine as the file names it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    address: IPvAnyAddress
    id: Annotated[str, Field(min_length=1)] | None = None
    zone: str = "local"
    draining: bool = False


GROUPS = TypeAdapter(dict[str, list[StaticEndpoint]])


def read_endpoints(text: str) -> EndpointsReport:
    """Reads the endpoints file; raises ValueError with the path of each mistake."""
    try:
        groups = GROUPS.validate_python(yaml.safe_load(text) or {})
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from None
    except ValidationError as error:
        raise ValueError("; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())) from None
    return EndpointsReport(endpoints=tuple(_sightings(groups)))


def _sightings(groups: dict[str, list[StaticEndpoint]]) -> Iterator[Sighting]:
    for service, members in sorted(groups.items()):
        for member in members:
            yield Sighting(
                instance=member.id or str(member.address),
                role=ROLES.get(service, Role.SERVICE),
                service=service,
                address=str(member.address),
                zone=member.zone,
                draining=member.draining,
            )


def read_mesh_file(text: str) -> DocumentReport:
    """Makes a mesh document of a file that holds the mesh as the stack config does."""
    try:
        mesh = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from None
    return DocumentReport(text=json.dumps({"schema": contract.DOCUMENT_SCHEMA, "stack": STACK, "mesh": mesh}, default=str))


@dataclass(frozen=True, kw_only=True)
class StaticFiles:
    """A `Discovery` that looks at two files a few times a second."""

    mesh: Path
    endpoints: Path

    async def run(self, publish: Publish) -> None:
        """Reports each file when its content is another one; a file that cannot be read is a fault, once."""
        watched: list[tuple[Path, Callable[[str], Report]]] = [(self.mesh, read_mesh_file), (self.endpoints, read_endpoints)]
        last: dict[Path, tuple[str | None, str]] = {}
        while True:
            for path, read in watched:
                content = _read(path)
                if last.get(path) != content:
                    last[path] = content
                    publish(_report(path, content, read))
            publish(SweepReport(seconds=0.0, cpu_seconds=0.0))
            await asyncio.sleep(POLL_SECONDS)


def _read(path: Path) -> tuple[str | None, str]:
    try:
        return path.read_text(), ""
    except (OSError, UnicodeDecodeError) as error:
        return None, str(error)


def _report(path: Path, content: tuple[str | None, str], read: Callable[[str], Report]) -> Report:
    text, reason = content
    try:
        if text is None:
            raise ValueError(reason)
        return read(text)
    except ValueError as error:
        return FaultReport(api=f"file:{path.name}", code="Unreadable", text=f"{path}: {error}")
