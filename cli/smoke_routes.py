"""What `./mesh smoke` tries on public routes: their service, each instance of it, and the calls that a sample makes when asked."""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from cli.finding import Finding
from cli.smoke_balance import balanced
from cli.smoke_door import Door, status
from cli.smoke_hops import SAMPLE, hops_of, machines_passed, passed
from model.edge import RouteSpec
from model.spec import MeshSpec, ServiceSpec


async def routed(door: Door, name: str, mesh: MeshSpec, route: RouteSpec, instances: set[str]) -> list[Finding]:
    """A route to its service; to a sample, also the calls that the service can be asked to make."""
    service = mesh.services[name]
    prefix = route.prefix.rstrip("/")
    if service.image.build != SAMPLE or not route.strip:
        return [await _plain(door, name, service, prefix or "/")]
    path = f"{prefix}/info"
    found = [await balanced(door, f"{door.name(path)} → {name}", path, instances, lambda answer: body_of(answer).get("instance_id", "?"))]
    return found + [await _hop(door, name, f"{prefix}/{path}", hops) for path, hops in hops_of(mesh, service)]


async def _plain(door: Door, name: str, service: ServiceSpec, path: str) -> Finding:
    expected = service.health.expected if service.health else None

    def passes(answer: httpx.Response) -> bool:
        return not answer.is_server_error if expected is None else answer.status_code == expected

    return await door.finding(f"{door.name(path)} → {name}", str(expected or "below 500"), path, status, passes=passes)


async def _hop(door: Door, name: str, path: str, hops: Sequence[str]) -> Finding:
    """Calls inside the mesh, made on request; `via` names the machines that they passed."""

    def show(answer: httpx.Response) -> str:
        body = body_of(answer)
        if answer.status_code != httpx.codes.OK:
            return f"{answer.status_code} {body.get('detail', '')}".strip()
        return f"{answer.status_code} via {' > '.join(machines_passed(body))}"

    def passes(answer: httpx.Response) -> bool:
        return answer.status_code == httpx.codes.OK and passed(body_of(answer), door.front, name, hops)

    return await door.finding(f"{door.name(path)} → {' → '.join([name, *hops])}", "200", path, show, passes=passes)


def body_of(answer: httpx.Response) -> Mapping[str, Any]:
    """The JSON object that a sample answers; an empty one of anything else."""
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
