"""What an outer edge near the client gains: handshake and first byte, directly to a far edge and through an outer one, in one run.

    ./mesh bench double-proxy --client-to-origin 80 --client-to-outer 10 --outer-to-origin 70 --rounds 50

Real Envoys with the mesh's own config (a client, two edges, a service behind its sidecar) on loopback; `bench.distance` makes the
distances. Both ways are measured in turn, so that what the machine does meanwhile falls on both.
"""

import argparse
import json
import socket
import ssl
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap

from apps.control_plane.model import TlsKeyPair
from apps.control_plane.resources import names
from bench.distance import relays
from local.stacks import own_range
from model.contract import ORIGIN_PORT, Role
from model.read import read_mesh
from tests.apps.control_plane.resources.conftest import Lab

REGION = "us-east-1"
HTTPS = 8443
HOUR = timedelta(hours=1)
RELAYED = 9443
"""Port of the relays, at the address of what they lead to."""
MESH = {
    "domain": "dev.mesh.internal",
    "network": {"cidr": "10.20.0.0/16"},
    "machines": {"ami": "ami-0123456789abcdef0"},
    "edge": {"https": HTTPS, "http": 8080, "outer": [{"region": REGION, "cidr": "10.30.0.0/16", "ami": "ami-0123456789abcdef0"}]},
    "services": {
        "web": {"image": {"build": "apps/http_service"}, "port": 9080, "routes": [{"prefix": "/web"}], "health": {"path": "/health"}}
    },
}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Seconds of one connection with two requests, one after the other."""

    handshake: float
    """From nothing to TLS being done, TCP included."""
    first: float
    """From nothing to the first byte of the first answer."""
    next: float
    """From the second request to the first byte of its answer, on the same connection."""


def measure(address: str, port: int, trust: ssl.SSLContext) -> Sample:
    """One client that knows nothing yet."""
    began = time.perf_counter()
    plain = socket.create_connection((address, port), timeout=10)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with trust.wrap_socket(plain, server_hostname=address) as secured:
        handshake = time.perf_counter()
        first = _ask(secured, address)
        again = time.perf_counter()
        following = _ask(secured, address)
    return Sample(handshake=handshake - began, first=first - began, next=following - again)


def _ask(connection: ssl.SSLSocket, host: str) -> float:
    """When the first byte of the answer came; reads all of it."""
    connection.sendall(f"GET /web/ HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
    data = connection.recv(65536)
    arrived = time.perf_counter()
    if not data.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"{host} answered {data[:60]!r}")
    head, _, body = data.partition(b"\r\n\r\n")
    (length,) = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    while len(body) < length:
        body += connection.recv(65536)
    return arrived


def self_signed(*hosts: str) -> TlsKeyPair:
    """What the edges show: one certificate for all their addresses, which the client trusts by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "edge")]), datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - HOUR, now + HOUR)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host)) for host in hosts]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return TlsKeyPair(chain=certificate.public_bytes(pem).decode(), key=secret.decode())


def led_over(relay: tuple[str, int]) -> Callable[[Bootstrap], None]:
    """Changes an outer edge's config so that its origin is a relay."""

    def change(config: Bootstrap) -> None:
        (origin,) = [cluster for cluster in config.static_resources.clusters if cluster.name == names.ORIGIN]
        for group in origin.load_assignment.endpoints:
            for host in group.lb_endpoints:
                place = host.endpoint.address.socket_address
                place.address, place.port_value = relay

    return change


def run(*, client_to_origin: float, client_to_outer: float, outer_to_origin: float, rounds: int) -> dict[str, dict[str, float]]:
    """Medians in milliseconds by way and figure; distances are round trips in seconds."""
    with tempfile.TemporaryDirectory(prefix="double-proxy-") as directory, own_range(Path(directory) / "range") as network:
        lab = Lab(Path(directory), read_mesh(MESH), network, self_signed)
        outer, origin = lab.add(Role.OUTER_EDGE, REGION), lab.add(Role.EDGE, "edge")
        lab.add(Role.SERVICE, "web")
        lab.edits[outer] = led_over((origin, RELAYED + 1))
        far = ((origin, RELAYED), (origin, HTTPS), client_to_origin)
        near = ((outer, RELAYED), (outer, HTTPS), client_to_outer)
        between = ((origin, RELAYED + 1), (origin, ORIGIN_PORT), outer_to_origin)
        with relays(far, near, between):
            try:
                lab.start()
                trust = ssl.create_default_context(cafile=str(lab.directory / "ca.pem"))
                ways = {"direct": origin, "double": outer}
                for address in ways.values():
                    measure(address, RELAYED, trust)
                samples: dict[str, list[Sample]] = {way: [] for way in ways}
                for _ in range(rounds):
                    for way, address in ways.items():
                        samples[way].append(measure(address, RELAYED, trust))
            finally:
                lab.stop()
    return {
        way: {figure: 1000 * statistics.median(getattr(one, figure) for one in found) for figure in ("handshake", "first", "next")}
        for way, found in samples.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("client-to-origin", 80.0), ("client-to-outer", 10.0), ("outer-to-origin", 70.0)):
        parser.add_argument(f"--{name}", type=float, default=usual, help=f"round trip in milliseconds ({usual:g})")
    parser.add_argument("--rounds", type=int, default=50, help="connections each way (50)")
    parser.add_argument("--json", action="store_true")
    words = parser.parse_args()
    distances = {name: getattr(words, name) / 1000 for name in ("client_to_origin", "client_to_outer", "outer_to_origin")}
    found = run(**distances, rounds=min(words.rounds, 500))
    if words.json:
        print(json.dumps(found))
        return
    print(f"{'median of ' + str(words.rounds):<22}{'direct':>10}{'double':>10}{'direct / double':>18}")
    for figure, title in (("handshake", "handshake"), ("first", "first byte, new"), ("next", "first byte, kept")):
        direct, double = found["direct"][figure], found["double"][figure]
        print(f"{title:<22}{direct:>7.1f} ms{double:>7.1f} ms{direct / double:>18.2f}")


if __name__ == "__main__":
    main()
