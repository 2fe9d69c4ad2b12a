"""An outer edge and the mesh's own, both served by a real control plane: what each is told, and what it does with news."""

import json
import socket
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509

from model.contract import ORIGIN_PORT, Role

pytestmark = pytest.mark.envoy

REGION = "us-east-1"
OUTER_RANGE = "127.251"


@pytest.fixture
def outer(mesh: Any) -> str:
    """The address of an outer edge of the running mesh, whose own edge has got keys for it."""
    address = str(mesh.edge).rpartition(".")[0] + ".9"
    mesh.stop("envoy-edge-1")
    chain, key = mesh.authority.issue_for_address(mesh.edge, address)
    (mesh.directory / "certificate.pem").write_text(chain)
    (mesh.directory / "key.pem").write_text(key)
    write(mesh)
    for role, service, instance, place in ((Role.EDGE, "edge", "edge-1", mesh.edge), (Role.OUTER_EDGE, REGION, "outer-1", address)):
        root = mesh.directory / instance
        mesh.authority.write_identity(root, role, service)
        mesh.start_envoy(role, service, instance, place, root=root, plain=True)
    with mesh.client(address) as client:
        mesh.wait_for(lambda: client.get("/web/info").status_code == 200)
    return address


def write(mesh: Any, *routes: dict[str, Any]) -> None:
    data = mesh.mesh_of("/web")
    data["edge"]["outer"] = [{"region": REGION, "cidr": f"{OUTER_RANGE}.0.0/16"}]
    data["services"]["web"]["routes"] += routes
    mesh.write("mesh.yaml", data)


def test_an_outer_edge_is_served_what_it_needs_and_follows_the_config(mesh: Any, outer: str) -> None:
    """Acceptance 86, and a mesh certificate that is renewed: secrets that the control plane serves name its files, which Envoy watches."""
    with mesh.client(outer) as client:
        assert client.get("/web/info").json()["via"] == [f"outer-edge/{REGION}/outer-1", "edge/edge/edge-1", "service/web/one"]
        told = json.dumps(served(outer))
        assert not [inside for inside in ("filters.http.oauth2", "jwt_authn", '"web"', mesh.one) if inside in told]
        renew(mesh, mesh.directory / "edge-1/run/mesh/tls")
        assert client.get("/web/info").status_code == 200
        write(mesh, {"prefix": "/closed", "maintenance": True})
        mesh.wait_for(lambda: client.get("/closed").status_code == 503)
        mesh.stop("envoy-edge-1", kill=True)
        assert client.get("/closed", headers={"accept": "*/*"}).text == "under maintenance\n"
    nodes = {node["id"]: node for node in mesh.console.get("/nodes").json()["nodes"]}
    assert not any(kind["nacked"] for kind in nodes[f"outer-edge/{REGION}/outer-1"]["types"].values())


@pytest.mark.slow
def test_an_edge_that_joins_or_leaves_is_known_to_the_outer_one_and_no_request_fails(mesh: Any, outer: str) -> None:
    second = mesh.edge.rpartition(".")[0] + ".8"
    root = mesh.directory / "edge-2"
    mesh.authority.write_identity(root, Role.EDGE, "edge")
    mesh.start_envoy(Role.EDGE, "edge", "edge-2", second, root=root, plain=True)
    mesh.wait_for(lambda: httpx.get(f"http://{second}:9902/ready").status_code == 200)
    with mesh.client(outer) as client:
        mesh.write("endpoints.yaml", {"edge": [{"address": mesh.edge}, {"address": second}], "web": [{"address": mesh.one}]})
        mesh.wait_for(lambda: client.get("/web/info").json()["via"][1] == "edge/edge/edge-2")
        mesh.write(
            "endpoints.yaml", {"edge": [{"address": mesh.edge, "draining": True}, {"address": second}], "web": [{"address": mesh.one}]}
        )
        mesh.wait_for(lambda: {client.get("/web/info").json()["via"][1] for _ in range(10)} == {"edge/edge/edge-2"})
        mesh.stop("envoy-edge-1")
        assert {client.get("/web/info").status_code for _ in range(20)} == {200}


def served(address: str) -> list[Any]:
    """All that an Envoy has beyond its bootstrap."""
    configs = httpx.get(f"http://{address}:9901/config_dump?include_eds").json()["configs"]
    return [config for config in configs if not config["@type"].endswith("BootstrapConfigDump")]


def renew(mesh: Any, directory: Path) -> None:
    """Gives the edge another certificate, and waits until it shows that one."""
    before = serial_shown(mesh.edge)
    chain, key = mesh.authority.issue_for_machine(Role.EDGE, "edge")
    for name, text in (("key", key), ("certificate", chain)):
        fresh = directory.parent / name
        fresh.write_text(text)
        fresh.replace(directory / f"{name}.pem")
    mesh.wait_for(lambda: serial_shown(mesh.edge) != before)
    assert serial_shown(mesh.edge) == x509.load_pem_x509_certificate(chain.encode()).serial_number


def serial_shown(edge: str) -> int:
    """The serial number of the certificate that an edge shows to outer ones; TLS 1.3 shows it before it asks for the other's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(socket.create_connection((edge, ORIGIN_PORT), timeout=5)) as connection:
        return x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"").serial_number
