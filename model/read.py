"""`read_mesh`: from plain data, as YAML or JSON gave it, to a checked `MeshSpec`, or to all mistakes at once."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from model import words
from model.edge import EdgeSpec
from model.problems import ConfigError, Problem, problems_of, shown
from model.rules import Parts, check
from model.spec import DatabaseSpec, MachinesSpec, MeshSpec, NetworkSpec, QuotasSpec, ServiceSpec

ROOT = "mesh"
_UNREAD = {"image": {"build": "unread"}, "port": 1}
"""Stand-ins for required keys that could not be read; no rule finds fault with them."""
Part = TypeVar("Part", bound=BaseModel)


def read_mesh(data: object, *, local: bool = False, region: str | None = None, root: str = ROOT) -> MeshSpec:
    """The mesh that `data` describes.

    `local` says that it is to run on this machine, so its network must be loopback, and on AWS must not.
    `region` is the stack's own, where the reader knows it; `root` is how messages call the object.
    Raises ConfigError with every mistake: of single values and between them.
    """
    if not isinstance(data, Mapping):
        raise ConfigError([Problem(root, shown(data), "a mesh is a mapping with domain, network and services", "see the README's example")])
    problems: list[Problem] = []
    try:
        mesh = MeshSpec.model_validate(data)
    except ValidationError as error:
        problems = problems_of(error, MeshSpec, root)
        problems += check(_salvage(data, local=local, region=region, root=root))
        raise ConfigError(problems) from None
    if problems := check(_parts(mesh, local=local, region=region, root=root)):
        raise ConfigError(problems)
    return mesh


def _parts(mesh: MeshSpec, *, local: bool, region: str | None, root: str) -> Parts:
    return Parts(
        root=root,
        local=local,
        production=mesh.production,
        network=mesh.network,
        edge=mesh.edge,
        database=mesh.database,
        machines=mesh.machines,
        quotas=mesh.quotas,
        services=mesh.services,
        names=tuple(mesh.services),
        wants_database=mesh.database is not None,
        domain=mesh.domain,
        region=region,
    )


def _salvage(data: Mapping[str, Any], *, local: bool, region: str | None, root: str) -> Parts:
    services = data.get("services")
    services = services if isinstance(services, Mapping) else {}
    readable = {str(name): spec for name, value in services.items() if (spec := _read_service(value))}
    return Parts(
        root=root,
        local=local,
        production=data.get("production") is True,
        network=_read(NetworkSpec, data.get("network")),
        edge=_read(EdgeSpec, data.get("edge", {})),
        database=_read(DatabaseSpec, data.get("database")),
        machines=_read(MachinesSpec, data.get("machines", {})),
        quotas=_read(QuotasSpec, data.get("quotas", {})) or QuotasSpec(),
        services=readable,
        names=tuple(str(name) for name in services),
        wants_database=data.get("database") is not None,
        domain=_read_domain(data.get("domain")),
        region=region,
    )


def _read_domain(value: object) -> str | None:
    try:
        return words.domain(value)
    except ValueError:
        return None


def _read_service(value: object) -> ServiceSpec | None:
    """A service without those of its keys that are wrong in themselves, for the rules between the others."""
    if not isinstance(value, Mapping):
        return None
    try:
        return ServiceSpec.model_validate(value)
    except ValidationError as error:
        wrong = {detail["loc"][0] for detail in error.errors() if detail["loc"]}
    return _read(ServiceSpec, _UNREAD | {key: part for key, part in value.items() if key not in wrong})


def _read(kind: type[Part], value: object) -> Part | None:
    try:
        return kind.model_validate(value)
    except ValidationError:
        return None
