"""cloud-init itself renders every role's user data and accepts the result. It proves no boot: packages and Docker are a machine's."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from components import machine_files, user_data
from components.machine_files import Built, StackFacts
from local.machines import debian_package
from model.read import read_mesh

pytestmark = pytest.mark.slow

REPO = Path(__file__).resolve().parents[2]
REQUIREMENTS = ("configobj", "jinja2", "jsonpatch", "jsonschema<4.20", "oauthlib", "requests", "pyyaml", "pyserial")
"""What Debian's package of cloud-init depends on, as far as its command line imports it."""
INSTANCE_DATA = {
    "ds": {"meta_data": {"instance-id": "i-0123456789abcdef0", "local-ipv4": "10.20.0.7"}},
    "v1": {"instance_id": "i-0123456789abcdef0", "availability_zone": "eu-central-1a"},
}
ROLES: dict[str, Callable[[StackFacts, Built], user_data.MachineFiles]] = {
    "edge": machine_files.edge,
    "service": lambda facts, built: machine_files.service(facts, "service-1", built),
    "control-plane": machine_files.control_plane,
    "database": machine_files.database,
    "monitoring": machine_files.monitoring,
}
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def cloud_init(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs `cloud-init …`: the host's, else Debian's package unpacked beside an environment with its imports."""
    words, environment = ["cloud-init"], dict(os.environ)
    if not shutil.which("cloud-init"):
        try:
            package = asyncio.run(debian_package.unpacked("cloud-init"))
        except debian_package.NotToBeHad as error:
            pytest.skip(f"optional: {error}")
        directory = tmp_path_factory.mktemp("cloud-init")
        subprocess.run([sys.executable, "-m", "venv", "venv"], cwd=directory, check=True)
        python = directory / "venv" / "bin" / "python"
        subprocess.run([python, "-m", "pip", "-q", "install", *REQUIREMENTS], check=True)
        words = [str(python), "-m", "cloudinit.cmd.main"]
        environment["PYTHONPATH"] = str(package / "usr" / "lib" / "python3" / "dist-packages")

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*words, *arguments], env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize("role", ROLES)
def test_cloud_init_renders_and_accepts_user_data(role: str, cloud_init: Run, tmp_path: Path) -> None:
    mesh = read_mesh(yaml.safe_load((REPO / "Pulumi.dev.yaml").read_text())["config"]["envoy-mesh:mesh"])
    facts = StackFacts(stack="dev", region="eu-central-1", mesh=mesh, control_planes=("10.20.24.4", "10.20.56.4"))
    built = Built(agent="registry/agent:1", app="registry/app:1", bucket="b", allocation="eipalloc-0a", volume="vol-0a")
    raw, data, rendered = (tmp_path / name for name in ("user-data", "instance-data.json", "rendered"))
    raw.write_text(user_data.render(ROLES[role](facts, built)))
    data.write_text(json.dumps(INSTANCE_DATA))
    done = cloud_init("devel", "render", "-i", str(data), str(raw))
    assert done.returncode == 0, done.stderr
    assert "MESH_ADDRESS=10.20.0.7" in done.stdout
    assert user_data.MISSING not in done.stdout
    rendered.write_text(done.stdout)
    checked = cloud_init("schema", "-c", str(rendered))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_fact_that_cloud_init_does_not_know_is_seen(cloud_init: Run, tmp_path: Path) -> None:
    """The reason why the boot unit looks for the word: the render itself succeeds."""
    raw, data = tmp_path / "user-data", tmp_path / "instance-data.json"
    raw.write_text("## template: jinja\n#cloud-config\nwrite_files:\n- {path: /x, content: '{{ ds.meta_data.no_such }}'}\n")
    data.write_text(json.dumps(INSTANCE_DATA))
    done = cloud_init("devel", "render", "-i", str(data), str(raw))
    assert done.returncode == 0
    assert user_data.MISSING in done.stdout
