"""Calls inside the mesh that a request from outside can ask for, and what an answer shows of the way that they took."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from model.edge import RouteSpec
from model.spec import MeshSpec, ServiceSpec

SAMPLE = "apps/http_service"
"""Services built from here answer `/info`, `/chain`, `/grpc` and `/db`."""
GRPC_SAMPLE = "apps/grpc_service"
"""Services built from here query the database when a sample calls them by `/grpc?query=true`."""
DATABASE = "postgres"
HOPS = {"chain": ("CHAIN_SERVICE", "service-2"), "grpc": ("GRPC_SERVICE", "grpc-1"), "db": ("", DATABASE)}
"""Endpoints of a sample that make a call: to whom, by the app's environment or by default."""


def hops_of(mesh: MeshSpec, service: ServiceSpec) -> list[tuple[str, list[str]]]:
    """Endpoints of a sample that make calls, each with the services that the call passes."""
    found: list[tuple[str, list[str]]] = []
    for path, (variable, usual) in HOPS.items():
        callee = service.env.get(variable, usual)
        if callee not in service.calls:
            continue
        found.append((path, [callee]))
        behind = mesh.services.get(callee)
        if path == "grpc" and behind and behind.image.build == GRPC_SAMPLE and DATABASE in behind.calls:
            found.append((f"{path}?query=true", [callee, DATABASE]))
    return found


def arrows(mesh: MeshSpec) -> set[tuple[str, str]]:
    """Calls that requests from outside exercise."""
    asked = {
        name: service
        for name, service in mesh.services.items()
        if service.image.build == SAMPLE and any(_is_open(route) for route in service.routes)
    }
    ways = [[name, *hops] for name, service in asked.items() for _, hops in hops_of(mesh, service)]
    return {pair for way in ways for pair in pairwise(way)}


def _is_open(route: RouteSpec) -> bool:
    return route.strip and route.auth == "public" and not (route.maintenance or route.authorize)


def machines_passed(body: Mapping[str, Any]) -> list[str]:
    """Node ids from the edge to the last machine; the database, whose sidecar speaks no HTTP, says its version instead."""
    inner = body.get("next") or {}
    way: list[str] = [*body.get("via", []), *[node for node in inner.get("via", []) if node not in body.get("via", [])]]
    version = str(inner.get("database_version") or (body.get("database") or {}).get("version", ""))
    return [*way, " ".join(version.split()[:2])] if version else way


def passed(body: Mapping[str, Any], front: Sequence[str], name: str, hops: Sequence[str]) -> bool:
    """Whether an answer shows the edges in `front`, the sidecar of each service in turn, and the database's answer where it is the last."""
    way = machines_passed(body)
    services = [node.split("/")[1] for node in way if node.count("/") == 2]
    wanted = [*front, name, *[hop for hop in hops if hop != DATABASE]]
    return services == wanted and (DATABASE not in hops or way[-1].startswith("PostgreSQL"))
