"""What a control plane reads from its environment, and its command line's refusals."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from apps.common.environment import read_environment
from apps.common.errors import MeshError
from apps.control_plane.discovery.child import command_of
from apps.control_plane.settings import ControlPlaneSettings

ENVIRONMENT = {"MESH_STACK": "t", "MESH_BUCKET": "b", "MESH_DOMAIN": "t.internal", "MESH_ADDRESS": "10.20.0.10", "MESH_INSTANCE_ID": "i-1"}


def test_all_missing_variables_are_named_at_once() -> None:
    with pytest.raises(MeshError, match=r"MESH_STACK: .*MESH_BUCKET: .*MESH_DOMAIN: .*MESH_ADDRESS: "):
        read_environment(ControlPlaneSettings, {"MESH_STACK": ""})


def test_times_are_longer_on_aws_than_where_all_machines_are_one_host() -> None:
    aws = read_environment(ControlPlaneSettings, ENVIRONMENT)
    local = read_environment(ControlPlaneSettings, {**ENVIRONMENT, "MESH_ADDRESS": "127.20.0.10"})
    assert (aws.sweep_seconds, aws.drain_seconds) == (3.0, 20.0)
    assert (local.sweep_seconds, local.drain_seconds) == (1.0, 2.0)
    said = read_environment(ControlPlaneSettings, {**ENVIRONMENT, "MESH_SWEEP_SECONDS": "0.5", "MESH_DRAIN_SECONDS": "7"})
    assert (said.sweep_seconds, said.drain_seconds) == (0.5, 7.0)


def test_a_wrong_time_is_refused() -> None:
    with pytest.raises(MeshError, match=r"MESH_SWEEP_SECONDS: .*greater than 0"):
        read_environment(ControlPlaneSettings, {**ENVIRONMENT, "MESH_SWEEP_SECONDS": "0"})


def test_the_child_is_told_whether_it_runs_on_a_machine_of_the_stack() -> None:
    assert "--inside" in command_of(read_environment(ControlPlaneSettings, ENVIRONMENT))
    assert "--inside" not in command_of(read_environment(ControlPlaneSettings, {**ENVIRONMENT, "MESH_INSTANCE_ID": ""}))


def test_keys_are_below_the_machines_root() -> None:
    settings = read_environment(ControlPlaneSettings, {**ENVIRONMENT, "MESH_ROOT": "/tmp/machine"})
    assert settings.tls_directory == Path("/tmp/machine/run/mesh/tls")


def test_standalone_listens_on_loopback_only(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "apps.control_plane", "--mesh=x", "--endpoints=y", "--address=10.0.0.1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(Path.cwd())})
    assert done.returncode == 1
    assert "listens on loopback" in done.stderr


def test_the_main_process_does_not_carry_the_aws_sdk() -> None:
    code = "import sys, apps.control_plane.__main__; sys.exit(any(name in sys.modules for name in ('botocore', 'boto3')))"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(Path.cwd())})
