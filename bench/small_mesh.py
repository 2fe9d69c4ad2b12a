"""One edge and one service on loopback: real Envoys, from the real bootstrap, served by the control plane's server in this process."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import yaml

from apps.agent.render import render
from apps.control_plane.authorization import by_certificate
from apps.control_plane.build import Builder, Resources
from apps.control_plane.model import Endpoint, EndpointState, TlsKeyPair, World
from apps.control_plane.node import Node
from apps.control_plane.server import AdsServer
from apps.control_plane.snapshot import Snapshot
from apps.control_plane.tls import ServerTls
from bench.envoys import Envoy, Envoys
from envoy_configs.bootstrap import BootstrapArgs, template
from model.contract import RUN_DIR, XDS_PORT, Role
from model.read import read_mesh
from tests.authority import Authority

DOMAIN = "bench.mesh.internal"
SERVICE = "web"
HTTPS, HTTP, APP_PORT = 8443, 8081, 8080
ZONE = "a"
Change = Callable[[Resources], None]
"""Changes what was built for a machine, in place and always alike."""


class SmallMesh:
    """Machines at the addresses 2 (edge) and 3 (service) of `network`, the control plane at 10."""

    def __init__(self, network: IPv4Network, directory: Path, authority: Authority) -> None:
        self.edge, self.service, self._control_plane = (str(network[number]) for number in (2, 3, 10))
        self._network, self._directory, self._authority = network, directory, authority
        self._server = AdsServer()

    async def serve(self, parts: dict[str, Any], changes: Mapping[Role, Change]) -> None:
        """Starts the control plane's server for a mesh of these parts: `edge`, `services` and what else a config has.

        What is built for a role is changed before it is served.
        """
        data = {"domain": DOMAIN, "network": {"cidr": str(self._network.supernet(new_prefix=16))}, **parts}
        machines = ((Role.EDGE, "edge", self.edge), (Role.SERVICE, SERVICE, self.service))
        endpoints = tuple(
            Endpoint(instance=f"i-{service}", role=role, service=service, address=address, zone=ZONE, state=EndpointState.SERVING)
            for role, service, address in machines
        )
        chain, key = self._authority.issue_for_address(self.edge)
        world = World(spec=read_mesh(data, local=True), stack="bench", endpoints=endpoints, edge_tls=TlsKeyPair(chain=chain, key=key))
        keys = _keys_below(self._root(Role.CONTROL_PLANE, Role.CONTROL_PLANE))
        tls = ServerTls(ca=keys / "ca.pem", certificate=keys / "certificate.pem", key=keys / "key.pem")
        await self._server.start(self._control_plane, XDS_PORT, tls, _Source(world, changes), by_certificate(DOMAIN))

    async def stop(self) -> None:
        await self._server.stop(timedelta(seconds=1))

    def boot_edge(self, envoys: Envoys, name: str) -> Envoy:
        return self._boot(envoys, name, Role.EDGE, "edge", self.edge)

    def boot_sidecar(self, envoys: Envoys, name: str) -> Envoy:
        return self._boot(envoys, name, Role.SERVICE, SERVICE, self.service)

    def _boot(self, envoys: Envoys, name: str, role: Role, service: str, address: str) -> Envoy:
        args = BootstrapArgs(role=role, service=service, domain=DOMAIN, control_planes=(self._control_plane,))
        facts = {"MESH_INSTANCE_ID": f"i-{service}", "MESH_ADDRESS": address, "MESH_LOOPBACK": address, "MESH_ZONE": ZONE}
        facts["MESH_ROOT"] = str(self._root(role, service))
        return envoys.start(name, yaml.safe_load(render(template(args), facts, source=name)))

    def keys(self, role: Role) -> Path:
        """Where the machine of a role has its certificate, its key and the mesh's CA, as the agent names them."""
        return _keys_below(self._root(role, {Role.EDGE: "edge", Role.SERVICE: SERVICE}[role]))

    def _root(self, role: Role, service: str) -> Path:
        """What stands for a machine's file system, with its keys where the agent puts them."""
        root = self._directory / service
        if not root.exists():
            self._authority.write_identity(root, role, service)
        return root


def _keys_below(root: Path) -> Path:
    return root / RUN_DIR.lstrip("/") / "tls"


class _Source:
    """A `SnapshotSource` whose world stays as it is."""

    def __init__(self, world: World, changes: Mapping[Role, Change]) -> None:
        self._builder, self._changes = Builder(world), changes

    def snapshot_for(self, node: Node) -> Snapshot:
        resources = self._builder.resources_for(node)
        if node.id.role in self._changes:
            self._changes[node.id.role](resources)
        return Snapshot.of(resources)

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Nothing will ever change."""
