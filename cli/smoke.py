"""`./mesh smoke`: requests from outside, through every edge along every route, and what answered.

Services built from the samples say which machine answered and which machines the request passed; of any other image
only the status can be judged.
"""

import asyncio
import ssl
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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
from cli.smoke_bridge import bridged
from cli.smoke_hops import SAMPLE, arrows, hops_of, machines_passed, passed
from cli.smoke_protection import protected
from cli.smoke_websocket import echoed
from cli.token import deployed_mesh
from local.supervisor.client import MachineView
from model.edge import RouteSpec
from model.spec import MeshSpec, ServiceSpec

ROUNDS = 4
"""Requests per instance of a service and edge: enough to meet each instance in turn."""
TIMEOUT_SECONDS = 15.0
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


def _try(
    outputs: Mapping[str, Any], mesh: MeshSpec, machines: Sequence[MachineView], tokens: Mapping[str, str], *, as_json: bool
) -> None:
    with tempfile.NamedTemporaryFile("w", prefix="envoy-mesh-ca-", suffix=".pem") as ca:
        ca.write(outputs["caCertificate"])
        ca.flush()
        findings = asyncio.run(_all(fronts_of(outputs), mesh, machines, ca.name, tokens))
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
    fronts: Mapping[str, Sequence[str]], mesh: MeshSpec, machines: Sequence[MachineView], ca_file: str, tokens: Mapping[str, str]
) -> list[Finding]:
    findings: list[Finding] = []
    verified = ssl.create_default_context(cafile=ca_file)
    for url, front in fronts.items():
        async with httpx.AsyncClient(base_url=url, verify=verified, http2=True, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            edge = _Edge(url=url, client=client, front=front)
            findings.append(await edge.redirects(mesh.edge.http))
            findings.append(await edge.answers("a path without route", NO_ROUTE, 404))
            for name, service in mesh.services.items():
                instances = {one.id for one in machines if one.service == name and one.health == "healthy"}
                for route in service.routes:
                    findings += await protected(client, url, mesh.edge, route)
                    if route.maintenance or route.authorize:
                        continue
                    if route.auth == "public":
                        findings += await edge.route(name, mesh, route, instances)
                    else:
                        findings += await smoke_auth.guarded(client, url, name, route, tokens)
                    if route.websocket and route.auth == "public" and route.strip and service.image.build == SAMPLE:
                        findings.append(await echoed(ca_file, url, name, route))
                if service.bridge:
                    findings += await protected(client, url, mesh.edge, service.bridge.route)
                    if not (service.bridge.maintenance or service.bridge.authorize):
                        findings += await bridged(client, url, name, service.bridge, instances)
            findings += _unreached(url, mesh)
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


@dataclass(frozen=True, kw_only=True)
class _Edge:
    url: str
    client: httpx.AsyncClient
    front: Sequence[str]

    async def redirects(self, http_port: int) -> Finding:
        """Plain HTTP is sent to HTTPS, path and query kept."""
        host = httpx.URL(self.url).host
        wanted = f"{self.url}/a/b?c=d"
        try:
            answer = await self.client.get(f"http://{host}:{http_port}/a/b?c=d")
            seen = f"{answer.status_code} {answer.headers.get('location', '')}"
        except httpx.HTTPError as error:
            seen = failure(error)
        return Finding(edge=self.url, what="http redirects", expected=f"301 {wanted}", seen=seen, ok=seen == f"301 {wanted}")

    async def answers(self, what: str, path: str, status: int) -> Finding:
        """One request, one status."""
        try:
            seen = str((await self.client.get(path)).status_code)
        except httpx.HTTPError as error:
            seen = failure(error)
        return Finding(edge=self.url, what=what, expected=str(status), seen=seen, ok=seen == str(status))

    async def route(self, name: str, mesh: MeshSpec, route: RouteSpec, instances: set[str]) -> list[Finding]:
        """A route to its service; to a sample, also the calls that the service can be asked to make."""
        service = mesh.services[name]
        prefix = route.prefix.rstrip("/")
        if service.image.build != SAMPLE or not route.strip:
            return [await self._plain(name, service, prefix or "/")]
        found = [await self._balanced(name, f"{prefix}/info", instances)]
        found += [await self._hop(name, f"{prefix}/{path}", hops) for path, hops in hops_of(mesh, service)]
        return found

    async def _plain(self, name: str, service: ServiceSpec, path: str) -> Finding:
        expected = service.health.expected if service.health else None
        try:
            status = (await self.client.get(path)).status_code
            seen, ok = str(status), status < 500 if expected is None else status == expected
        except httpx.HTTPError as error:
            seen, ok = failure(error), False
        return Finding(edge=self.url, what=f"{path} → {name}", expected=str(expected or "below 500"), seen=seen, ok=ok)

    async def _balanced(self, name: str, path: str, instances: set[str]) -> Finding:
        """Every healthy instance answers, and nobody else."""
        count = ROUNDS * max(len(instances), 1)
        answers = [await self._info(path) for _ in range(count)]
        statuses = Counter(str(status) for status, _ in answers)
        seen_by = Counter(body.get("instance_id", "?") for status, body in answers if status == 200)
        seen = ", ".join([f"{number} × {status}" for status, number in statuses.items()] + [f"{len(seen_by)} instances"])
        ok = statuses == {"200": count} and set(seen_by) == instances
        return Finding(edge=self.url, what=f"{path} → {name}", expected=f"{count} × 200, {len(instances)} instances", seen=seen, ok=ok)

    async def _hop(self, name: str, path: str, hops: Sequence[str]) -> Finding:
        """Calls inside the mesh, made on request; `via` names the machines that they passed."""
        status, body = await self._info(path)
        seen = f"{status} via {' > '.join(machines_passed(body))}" if status == 200 else f"{status} {body.get('detail', '')}".strip()
        ok = status == 200 and passed(body, self.front, name, hops)
        return Finding(edge=self.url, what=f"{path} → {' → '.join([name, *hops])}", expected="200", seen=seen, ok=ok)

    async def _info(self, path: str) -> tuple[int | str, dict[str, Any]]:
        try:
            answer = await self.client.get(path)
        except httpx.HTTPError as error:
            return failure(error), {}
        try:
            body = answer.json()
        except ValueError:
            body = {}
        return answer.status_code, body if isinstance(body, dict) else {}
