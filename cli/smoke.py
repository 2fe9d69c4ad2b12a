"""`./mesh smoke`: requests from outside, through every edge along every route, and what answered.

Services built from the samples say which machine answered and which machines the request passed; of any other image
only the status can be judged.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import httpx

from cli import smoke_auth
from cli.aws_stack import AwsStack
from cli.console import line, out, print_json, table
from cli.exits import Exit, Stop
from cli.finding import Finding, failure
from cli.outputs import read_outputs
from cli.session import Session
from cli.smoke_authorizer import asked
from cli.smoke_bridge import bridged
from cli.smoke_door import TIMEOUT_SECONDS, Door, Patience, status
from cli.smoke_hops import SAMPLE, arrows
from cli.smoke_limits import limits
from cli.smoke_protection import protected, strict_transport
from cli.smoke_routes import routed
from cli.smoke_websocket import echoed
from cli.token import deployed_mesh
from cli.trust import Trust
from local.supervisor.client import MachineView
from model.edge import RouteSpec
from model.spec import MeshSpec

EDGE = "edge"
NO_ROUTE = "/no-such-route-of-the-mesh"
MARKS = {True: "[green]ok[/]", False: "[red]FAILED[/]", None: "[dim]not exercised[/]"}


def smoke(stack: str, directory: Path | None, *, as_json: bool) -> None:
    """Prints the findings; exit code 1 if one is not as expected."""
    session = Session.open(stack, directory)
    machines = session.supervisor().status().machines
    mesh = deployed_mesh(session)
    _try(read_outputs(session), mesh, machines, smoke_auth.tokens(session, mesh), as_json=as_json)


def smoke_aws(stack: str, settings: Mapping[str, str], *, as_json: bool) -> None:
    """The same of a stack in AWS, which the config of this clone must describe; nobody here has a token for guarded routes."""
    with AwsStack.open(stack, settings) as aws:
        mesh, outputs, machines = aws.mesh(), aws.outputs(), aws.machines()
    _try(outputs, mesh, machines, {}, as_json=as_json)


def _try(outputs: Mapping[str, Any], mesh: MeshSpec, machines: Sequence[MachineView], tokens: smoke_auth.Tokens, *, as_json: bool) -> None:
    findings = asyncio.run(_all(fronts_of(outputs), mesh, machines, Trust(ca=outputs["caCertificate"], edge=mesh.edge), tokens))
    if as_json:
        print_json({"findings": [asdict(finding) for finding in findings]})
    else:
        out.print(table(["edge", "what", "", "expected", "seen"], [_cells(finding) for finding in findings]))
        line(f"{sum(one.ok is True for one in findings)} ok, {sum(one.ok is False for one in findings)} failed")
    if any(finding.ok is False for finding in findings):
        raise Stop("", Exit.FAILED)


def _cells(finding: Finding) -> tuple[str, str, str, str, str]:
    return finding.edge, finding.what, MARKS[finding.ok], finding.expected, finding.seen


def fronts_of(outputs: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """URL of each edge → the edges that a request passes from there; one to an outer edge passes one of the mesh's own next."""
    outer = {url: (region, EDGE) for region, urls in outputs.get("outerEdgeUrls", {}).items() for url in urls}
    return {**dict.fromkeys(outputs["edgeUrls"], (EDGE,)), **outer}


async def _all(
    fronts: Mapping[str, Sequence[str]], mesh: MeshSpec, machines: Sequence[MachineView], trust: Trust, tokens: smoke_auth.Tokens
) -> list[Finding]:
    findings: list[Finding] = []
    async with AsyncExitStack() as clients:
        edges = {url: await _doors(clients, url, front, mesh, trust) for url, front in fronts.items()}
        for url, doors in edges.items():
            findings.append(await _redirects(doors[""], mesh.edge.http))
            findings += trust.certificates(url)
            findings += await strict_transport(doors[""], NO_ROUTE, mesh.edge)
            findings.append(await doors[""].finding("a path without route", "404", NO_ROUTE, status))
            for name in mesh.services:
                instances = {one.id for one in machines if one.service == name and one.health == "healthy"}
                findings += await _service(doors, name, mesh, instances, tokens)
            findings += _unreached(url, mesh)
        # Last of all edges: a limit over all of them is spent for all.
        for doors in edges.values():
            findings += await limits(doors, mesh, NO_ROUTE, tokens)
    return findings


async def _doors(clients: AsyncExitStack, url: str, front: Sequence[str], mesh: MeshSpec, trust: Trust) -> dict[str, Door]:
    """The edge as each host that routes name, and under the empty name as any other; connections are not shared, since SNI differs."""
    patience = Patience()
    limited = bool(mesh.edge.rate_limits or mesh.edge.rate_limit_service)
    doors = {}
    for domain in ("", *{domain: None for service in mesh.services.values() for route in service.routes for domain in route.domains}):
        host = domain or trust.usual_host(url)
        verified = trust.context(url, host)
        client = httpx.AsyncClient(base_url=url, verify=verified, http2=True, timeout=TIMEOUT_SECONDS, trust_env=False)
        await clients.enter_async_context(client)
        doors[domain] = Door(
            edge=url, domain=domain, host=host, client=client, front=front, trust=trust, patience=patience, limited=limited
        )
    return doors


async def _service(doors: Mapping[str, Door], name: str, mesh: MeshSpec, instances: set[str], tokens: smoke_auth.Tokens) -> list[Finding]:
    findings: list[Finding] = []
    service = mesh.services[name]
    for route in service.routes:
        for domain in route.domains or [""]:
            door = replace(doors[domain], limited=doors[domain].limited or bool(route.rate_limits))
            findings += await protected(door, route)
            if not route.maintenance:
                findings += await _route(door, name, mesh, route, instances, tokens)
    if service.bridge:
        door = replace(doors[""], limited=doors[""].limited or bool(service.bridge.rate_limits))
        findings += await protected(door, service.bridge.route)
        if not (service.bridge.maintenance or service.bridge.authorize):
            findings += await bridged(door, name, service.bridge, instances)
    return findings


async def _route(door: Door, name: str, mesh: MeshSpec, route: RouteSpec, instances: set[str], tokens: smoke_auth.Tokens) -> list[Finding]:
    service = mesh.services[name]
    if route.auth != "public":
        return await smoke_auth.guarded(door, mesh, name, route, tokens)
    if route.authorize and mesh.edge.authorizer:
        return [await asked(door, mesh.edge.authorizer, f"{door.name(route.prefix)} → {name}", service, route, {})]
    findings = await routed(door, name, mesh, route, instances)
    if route.websocket and route.strip and service.image.build == SAMPLE:
        findings.append(await echoed(door, name, route))
    return findings


def _unreached(url: str, mesh: MeshSpec) -> list[Finding]:
    """Calls that nobody can ask for: of other images, and of samples without a route."""
    exercised = arrows(mesh)
    return [
        Finding(edge=url, what=f"{name} → {callee}", expected="", seen=f"nothing from outside makes {name} do it", ok=None)
        for name, service in mesh.services.items()
        for callee in service.calls
        if (name, callee) not in exercised
    ]


async def _redirects(door: Door, http_port: int) -> Finding:
    """Plain HTTP is sent to HTTPS, path and query kept."""
    host = httpx.URL(door.edge).host
    expected = f"301 {door.edge}/a/b?c=d"
    try:
        answer = await door.client.get(f"http://{host}:{http_port}/a/b?c=d")
        seen = f"{answer.status_code} {answer.headers.get('location', '')}"
    except httpx.HTTPError as error:
        seen = failure(error)
    return Finding(edge=door.edge, what="http redirects", expected=expected, seen=seen, ok=seen == expected)
