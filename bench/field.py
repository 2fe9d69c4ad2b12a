"""The field of the bench of the data path: all contenders up at once, each asked by its own address, one app behind all."""

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import httpx

from bench import front_proxy, sidecar, without
from bench.contenders import BARE, Contender
from bench.envoys import Envoy, Envoys, wait_until
from bench.keys import Issuer
from bench.small_mesh import APP_PORT, DOMAIN, HTTP, HTTPS, SERVICE, Change, SmallMesh
from model.contract import INGRESS_PORT, Role
from tests.authority import Authority

PREFIX = "/orders"
ASKED = f"{PREFIX}/42"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A contender that answers."""

    name: str
    url: str
    headers: dict[str, str]
    envoys: list[Envoy]

    @property
    def cpu_seconds(self) -> float:
        return sum(envoy.cpu_seconds for envoy in self.envoys)


@asynccontextmanager
async def field_of(directory: Path, contenders: list[Contender], issuer: Issuer, network: IPv4Network) -> AsyncIterator[list[Entry]]:
    """Starts the bare front proxy and the contenders, each in a /24 of `network` (a /16); yields when all answer 200."""
    authority, token = Authority(DOMAIN), issuer.token()
    app, front = _app(network), str(network[2])
    _, *pieces = network.subnets(new_prefix=24)
    meshes = [SmallMesh(pieces[number], directory / str(number), authority) for number in range(len(contenders))]
    places = [(app, APP_PORT)]
    places += [(mesh.service, APP_PORT if contender.sidecar else INGRESS_PORT) for mesh, contender in zip(meshes, contenders, strict=True)]
    bearer = {"authorization": f"Bearer {token}"}
    async with AsyncExitStack() as stack:
        envoys = stack.enter_context(Envoys(directory))
        envoys.start("app", front_proxy.upstream(places, issuer.keys))
        bare = envoys.start("bare", front_proxy.bare(front, (app, APP_PORT)))
        url = f"http://{front}:{front_proxy.FRONT_PORT}/service/1{ASKED}"
        entries = [Entry(name=BARE, url=url, headers=bearer, envoys=[bare])]
        for number, (mesh, contender) in enumerate(zip(meshes, contenders, strict=True), 1):
            await mesh.serve(_parts_of(contender), _changes(contender, mesh))
            stack.push_async_callback(mesh.stop)
            proxies = [mesh.boot_edge(envoys, f"edge-{number}")]
            if contender.sidecar:
                proxies.append(mesh.boot_sidecar(envoys, f"sidecar-{number}"))
            url = f"{'https' if contender.tls else 'http'}://{mesh.edge}:{HTTPS}{ASKED}"
            headers = contender.headers | (bearer if contender.token else {})
            entries.append(Entry(name=contender.name, url=url, headers=headers, envoys=proxies))
        trust = ssl.create_default_context(cadata=authority.pem)
        async with httpx.AsyncClient(verify=trust, trust_env=False) as client:
            for entry in entries:
                await _answers(client, entry)
        yield entries


def keys_url(network: IPv4Network) -> str:
    """Where the app of the field shows the issuer's keys."""
    return f"http://{_app(network)}:{APP_PORT}{front_proxy.KEYS_PATH}"


def _app(network: IPv4Network) -> str:
    return str(network[3])


def _changes(contender: Contender, mesh: SmallMesh) -> dict[Role, Change]:
    changes = {Role.EDGE: contender.change, Role.SERVICE: contender.sidecar_change}
    if not contender.mutual_tls:
        return changes
    ends = {role: end(mesh.keys(role)) for role, end in ((Role.EDGE, sidecar.reached_by_edges), (Role.SERVICE, sidecar.accepting_edges))}
    return {role: without.all_of(change, ends[role]) for role, change in changes.items()}


def _parts_of(contender: Contender) -> dict[str, Any]:
    service = {
        "image": {"build": "apps/http_service"},
        "port": APP_PORT,
        "routes": [{"prefix": PREFIX, **contender.route}, {"prefix": "/public"}],
        "health": {"path": "/health"},
    }
    return {"edge": {"https": HTTPS, "http": HTTP, **contender.edge}, "services": {SERVICE: service}}


async def _answers(client: httpx.AsyncClient, entry: Entry) -> None:
    async def answers() -> bool:
        try:
            answer = await client.get(entry.url, headers=entry.headers)
        except httpx.TransportError:
            return False
        return answer.status_code == httpx.codes.OK and answer.text == front_proxy.BODY

    await wait_until(answers, entry.envoys[0])
