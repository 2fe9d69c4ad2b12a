"""The command as a process: help, exit codes, and what happens before anything is touched."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

REPO = Path(__file__).resolve().parents[2]
VERBS = ["up", "status", "smoke", "outputs", "token", "env", "preview", "logs", "config", "test", "bench", "down"]
Mesh = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files that a verb needs before it starts anything."""
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ("cli", "local", "model", "components", "envoy_configs", "observability", "apps"):
        shutil.copytree(REPO / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in [*REPO.glob("Pulumi*.yaml"), REPO / "settings.py", REPO / "__main__.py"]:
        shutil.copy(path, clone)
    return clone


@pytest.fixture
def mesh(clone: Path, tmp_path: Path) -> Mesh:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(clone), "XDG_STATE_HOME": str(tmp_path / "state"), "COLUMNS": "120"}
        words = (sys.executable, "-P", "-m", "cli", *words)
        return subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False)

    return run


def test_help_names_every_verb_and_the_exit_codes(mesh: Mesh) -> None:
    done = mesh("--help")
    assert done.returncode == 0
    assert all(f" {verb} " in done.stdout for verb in VERBS)
    assert "Exit codes" in done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(mesh: Mesh, verb: str) -> None:
    assert mesh(verb, "--help").returncode == 0


def test_the_words_load_nothing_that_is_slow_to_load() -> None:
    """Help, bad words and `down` answer at once: the engine's SDK and AWS clients are loaded by the verbs that use them."""
    slow = ("pulumi", "pulumi_aws", "boto3", "botocore", "moto", "httpx", "grpc")
    program = f"import sys, cli.app; print(sorted(set({slow!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("words", [["nosuch"], ["up", "--nosuch"], ["logs"], ["up", "--stack", "nosuch"]])
def test_wrong_words_end_with_code_2(mesh: Mesh, words: list[str]) -> None:
    assert mesh(*words).returncode == 2


@pytest.mark.parametrize("verb", ["status", "smoke", "env", "outputs"])
def test_a_stack_that_is_not_up_is_told_with_how_to_start_it(mesh: Mesh, verb: str) -> None:
    done = mesh(verb)
    assert done.returncode == 1
    assert "./mesh up" in done.stderr


def test_status_as_json_is_json_also_without_a_stack(mesh: Mesh) -> None:
    assert json.loads(mesh("status", "--json").stdout) == {"machines": []}


def test_down_of_nothing_is_fine(mesh: Mesh) -> None:
    assert mesh("down").returncode == 0


def test_down_leaves_a_directory_alone_that_is_no_stacks_state(mesh: Mesh, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep")
    done = mesh("down", "--state", str(tmp_path / "mine"))
    assert done.returncode == 1
    assert (tmp_path / "mine" / "letter.txt").exists()


def test_every_mistake_of_a_config_is_told_at_once_and_nothing_is_touched(mesh: Mesh, clone: Path, tmp_path: Path) -> None:
    path = clone / "Pulumi.local.yaml"
    content = yaml.safe_load(path.read_text())
    service = content["config"]["envoy-mesh:mesh"]["services"]["service-1"]
    service["port"], service["cals"] = 70000, []
    path.write_text(yaml.safe_dump(content))
    done = mesh("up")
    assert done.returncode == 2
    assert "2 mistakes" in done.stderr
    for said in ("services.service-1.port", "70000", "services.service-1.cals", "calls", "rule:", "fix:"):
        assert said in done.stderr
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("aws:region: eu-central-1", "aws:region: eu-central-1a", "aws:region = 'eu-central-1a'"),
        ("aws:region: eu-central-1", "aws:region:", "aws:region = (not set)"),
        ("envoy-mesh:local: true", "envoy-mesh:local: [1]", "envoy-mesh:local = '[1]'"),
        ("envoy-mesh:local: true", "envoy-mesh:local: true\n  envoy-mesh:zoneNames:", "envoy-mesh:zoneNames = ''"),
        ("envoy-mesh:local: true", "envoy-mesh:local: true\n  envoy-mesh:mehs: {}", "did you mean 'mesh'?"),
        ("domain: local.mesh.internal", "domain: 2020-01-01", "envoy-mesh:mesh.domain = 2020-01-01"),
        ("aws:region: eu-central-1", "aws:region: cn-north-1", "as those of the mesh's policies do"),
    ],
)
def test_a_mistake_beside_the_mesh_or_in_the_yaml_ends_with_code_2_too(
    mesh: Mesh, clone: Path, tmp_path: Path, old: str, new: str, said: str
) -> None:
    path = clone / "Pulumi.local.yaml"
    path.write_text(path.read_text().replace(old, new))
    done = mesh("up")
    assert done.returncode == 2, done.stderr
    for part in (said, "1 mistake; nothing was touched", "rule:", "fix:"):
        assert part in " ".join(done.stderr.split())
    assert not (tmp_path / "state").exists()
