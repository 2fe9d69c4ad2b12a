"""Discovery from files, for the standalone mode, tests and benches: what is wanted and what is there.

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

from apps.control_plane.discovery.reports import (
    DocumentReport,
    EdgeTlsReport,
    EndpointsReport,
    FaultReport,
    Publish,
    Report,
    Sighting,
    SweepReport,
)
from model import contract
from model.contract import Role

POLL_SECONDS = 0.2
STACK = "standalone"
STACK_PATH = contract.edge_tls_path(STACK)
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
    """A `Discovery` that looks at a few files several times a second."""

    mesh: Path
    endpoints: Path
    edge_tls: Path | None = None
    """Directory with the edge's certificate.pem and key.pem, and the same below the path of each certificate that the mesh
    names; without it no edge is served."""

    async def run(self, publish: Publish) -> None:
        """Reports what changed; files that cannot be used are a fault, once."""
        watched: list[_Watch] = [_Watch((self.mesh,), read_mesh_file), _Watch((self.endpoints,), read_endpoints)]
        certificates: dict[str, _Watch] = {}
        while True:
            for path, directory in self._certificates():
                certificates.setdefault(path, _edge_tls_at(directory, path))
            for watch in [*certificates.values(), *watched]:
                if report := watch.look():
                    publish(report)
            publish(SweepReport(seconds=0.0, cpu_seconds=0.0))
            await asyncio.sleep(POLL_SECONDS)


    def _certificates(self) -> Iterator[tuple[str, Path]]:
        """SSM path and directory of each certificate; the stack's own is watched also before it is there."""
        if self.edge_tls:
            yield STACK_PATH, self.edge_tls
            for found in self.edge_tls.glob("*/**/certificate.pem"):
                yield f"/{found.parent.relative_to(self.edge_tls)}", found.parent


class _Watch:
    """Files that are read together, and what they said last."""

    def __init__(self, paths: tuple[Path, ...], read: Callable[..., Report]) -> None:
        self._paths = paths
        self._read = read
        self._last: tuple[str, ...] | None = None

    def look(self) -> Report | None:
        """What the files say when it is news: their text, or why they have none."""
        try:
            texts = tuple(path.read_text() for path in self._paths)
        except (OSError, UnicodeDecodeError) as error:
            return self._fault(error) if self._is_news((str(error),)) else None
        if not self._is_news(texts):
            return None
        try:
            return self._read(*texts)
        except ValueError as error:
            return self._fault(error)

    def _is_news(self, texts: tuple[str, ...]) -> bool:
        before, self._last = self._last, texts
        return before != texts

    def _fault(self, error: Exception) -> FaultReport:
        path = self._paths[0]
        return FaultReport(api=f"file:{path.name}", code="Unreadable", text=f"{path}: {error}")


def _edge_tls_at(directory: Path, path: str) -> _Watch:
    files = (directory / "certificate.pem", directory / "key.pem")
    return _Watch(files, lambda chain, key: EdgeTlsReport(path=path, chain=chain, key=key))
