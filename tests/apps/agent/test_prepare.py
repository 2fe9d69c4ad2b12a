"""What `prepare` leaves on a machine, and what it refuses."""

import subprocess
from datetime import timedelta
from pathlib import Path

import boto3
import pytest

from apps.agent.config import AgentConfig, SecretSource, VolumeTask, read_config
from apps.agent.prepare import env_file_value, prepare
from apps.agent.render import render
from apps.agent.secret_values import read_values
from apps.agent.volume import format_if_blank, wait_for
from apps.common.errors import MeshError


def test_templates_are_filled_with_the_machines_facts_and_nothing_else_changes(machine: dict[str, str]) -> None:
    templates = Path(machine["MESH_ROOT"]) / "etc/mesh/templates"
    (templates / "prometheus").mkdir()
    (templates / "envoy.yaml").write_text("id: edge/edge/${MESH_INSTANCE_ID}\nkey: ${MESH_ROOT}/run/mesh/tls/key.pem\n")
    (templates / "prometheus/rules.yaml").write_text("text: '{{ $labels.x }} ${other} $$'\n")
    prepare(AgentConfig(), machine)
    run_dir = Path(machine["MESH_ROOT"]) / "run/mesh"
    assert (run_dir / "envoy.yaml").read_text() == f"id: edge/edge/i-0123\nkey: {machine['MESH_ROOT']}/run/mesh/tls/key.pem\n"
    assert (run_dir / "prometheus/rules.yaml").read_text() == "text: '{{ $labels.x }} ${other} $$'\n"


def test_on_ec2_the_root_is_empty() -> None:
    assert render("${MESH_ROOT}/run/mesh", {}, source="x") == "/run/mesh"


def test_an_unknown_placeholder_names_the_file_and_the_name(machine: dict[str, str]) -> None:
    path = Path(machine["MESH_ROOT"]) / "etc/mesh/templates/envoy.yaml"
    path.write_text("${MESH_REGION} ${MESH_ADDRESS}")
    with pytest.raises(MeshError, match=r"envoy\.yaml: no value for MESH_REGION;"):
        prepare(AgentConfig(), machine)


def test_a_fact_that_cloud_init_did_not_know_stops_the_boot(machine: dict[str, str]) -> None:
    with pytest.raises(MeshError, match="MESH_ZONE hold CI_MISSING_JINJA_VAR"):
        prepare(AgentConfig(), {**machine, "MESH_ZONE": "CI_MISSING_JINJA_VAR_availability_zone"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"files": {"/etc/passwd": {"parameter": "x"}}}', "below the run directory"),
        ('{"files": {"../x": {"parameter": "x"}}}', "below the run directory"),
        ('{"files": {"x": {"parameter": "a", "secret": "b"}}}', "exactly one"),
        ('{"files": {"x": {}}}', "exactly one"),
        ('{"enviroment": {}}', "enviroment: Extra inputs"),
        ('{"volume": {"id": "vol-1", "label": "a-label-too-long-for-ext4", "mount": "/x"}}', "at most 16"),
        ("{", "Invalid JSON"),
    ],
)
def test_a_wrong_task_is_refused_with_its_place(machine: dict[str, str], text: str, message: str) -> None:
    (Path(machine["MESH_ROOT"]) / "etc/mesh/agent.json").write_text(text)
    with pytest.raises(MeshError, match=message):
        read_config(machine)


def test_a_machine_without_a_task_says_which_file_is_missing(machine: dict[str, str]) -> None:
    with pytest.raises(MeshError, match=r"etc/mesh/agent\.json: not there"):
        read_config(machine)


def test_values_of_an_env_file_survive_compose() -> None:
    assert env_file_value("A", "plain-1.2/3=") == "plain-1.2/3="
    assert env_file_value("A", "p$A #x") == "'p$A #x'"
    with pytest.raises(MeshError, match="secret for A holds a line break"):
        env_file_value("A", "one\ntwo")


def test_a_blank_volume_is_formatted_once_and_a_used_one_never(tmp_path: Path) -> None:
    device = tmp_path / "disk"
    with device.open("wb") as file:
        file.truncate(8 << 20)
    assert format_if_blank(device, "mesh-data") is True
    assert format_if_blank(device, "mesh-data") is False
    label = subprocess.run(["blkid", "-p", "-s", "LABEL", "-o", "value", str(device)], capture_output=True, text=True, check=True)
    assert label.stdout.strip() == "mesh-data"


def test_a_volume_that_cannot_be_read_is_not_formatted(tmp_path: Path) -> None:
    with pytest.raises(MeshError, match=r"cannot be read .*; not formatted"):
        format_if_blank(tmp_path, "mesh-data")


def test_a_volume_with_data_that_blkid_does_not_know_is_not_formatted(tmp_path: Path) -> None:
    device = tmp_path / "disk"
    device.write_bytes(b"\0" * 5000 + b"precious" + b"\0" * (8 << 20))
    with pytest.raises(MeshError, match="holds data"):
        format_if_blank(device, "mesh-data")


def test_a_volume_that_never_comes_is_named() -> None:
    device = VolumeTask(id="vol-0abc", label="x", mount="/x").device
    with pytest.raises(MeshError, match="nvme-Amazon_Elastic_Block_Store_vol0abc: not there"):
        wait_for(device, patience=timedelta(0))


@pytest.mark.components
def test_keys_and_secrets_come_from_the_cloud(cloud: dict[str, str], session: boto3.Session) -> None:
    ssm = session.client("ssm", endpoint_url=cloud["AWS_ENDPOINT_URL"])
    for name, kind in (("/envoy-mesh/t/tls/ca", "String"), ("/envoy-mesh/t/tls/edge/edge/key", "SecureString")):
        ssm.put_parameter(Name=name, Type=kind, Value=f"value of {name}")
    session.client("secretsmanager", endpoint_url=cloud["AWS_ENDPOINT_URL"]).create_secret(
        Name="/envoy-mesh/t/database/service-1", SecretString="s3cret"
    )
    config = AgentConfig.model_validate(
        {
            "files": {
                "tls/ca.pem": {"parameter": "/envoy-mesh/t/tls/ca"},
                "tls/key.pem": {"parameter": "/envoy-mesh/t/tls/edge/edge/key"},
            },
            "environment": {"PGPASSWORD": {"secret": "/envoy-mesh/t/database/service-1"}},
        }
    )
    prepare(config, cloud)
    prepare(config, cloud)
    run_dir = Path(cloud["MESH_ROOT"]) / "run/mesh"
    assert (run_dir / "tls/key.pem").read_text() == "value of /envoy-mesh/t/tls/edge/edge/key"
    assert (run_dir / "secrets.env").read_text() == "PGPASSWORD=s3cret\n"
    assert {oct(path.stat().st_mode)[-3:] for path in run_dir.rglob("*") if path.is_file()} == {"600"}
    assert not list(run_dir.rglob(".*.new"))


@pytest.mark.components
def test_a_missing_secret_is_named_after_the_patience(cloud: dict[str, str]) -> None:
    sources = [SecretSource(parameter="/envoy-mesh/t/nothing"), SecretSource(secret="/envoy-mesh/t/none")]
    with pytest.raises(MeshError, match=r"parameter /envoy-mesh/t/nothing: ParameterNotFound; secret .*ResourceNotFound"):
        read_values(sources, cloud, patience=timedelta(0))
