"""The command as a process: help, exit codes, and what happens before anything is touched."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer.main
import yaml
from typer.testing import CliRunner

from cli.app import app

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
    def run(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(clone), "XDG_STATE_HOME": str(tmp_path / "state"), "COLUMNS": "120", **settings}
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


@pytest.mark.parametrize("verb", ["up", "status", "smoke", "outputs", "token", "env", "preview", "down"])
def test_a_stack_without_a_file_is_told_with_the_stacks_there_are(mesh: Mesh, tmp_path: Path, verb: str) -> None:
    done = mesh(verb, "--stack", "nosuch")
    assert done.returncode == 2
    assert done.stderr == "no stack 'nosuch': Pulumi.nosuch.yaml is not there. Stacks of this clone: dev, local, prod\n"
    assert done.stdout == ""
    assert not (tmp_path / "state").exists()


def test_a_stack_that_ended_and_whose_file_is_gone_is_not_said_to_start_by_up(mesh: Mesh, tmp_path: Path) -> None:
    (tmp_path / "left").mkdir()
    done = mesh("status", "--stack", "nosuch", "--state", str(tmp_path / "left"))
    assert done.returncode == 2
    assert "no stack 'nosuch'" in done.stderr
    assert "starts it" not in done.stderr


def test_down_ends_a_stack_whose_file_is_gone(mesh: Mesh, tmp_path: Path) -> None:
    state = tmp_path / "left"
    state.mkdir()
    (state / "operation.lock").touch()
    done = mesh("down", "--stack", "nosuch", "--state", str(state))
    assert done.returncode == 0, done.stderr
    assert not state.exists()


@pytest.mark.parametrize("name", ["../other/local", "..", ".", "", "wéb", "a/b", "x" * 300])
def test_no_verb_takes_what_is_no_stacks_name(name: str) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    with_stack = {verb for verb, command in commands.items() if any(parameter.name == "stack" for parameter in command.params)}
    assert with_stack == set(VERBS) - {"test", "bench"}
    for verb in sorted(with_stack):
        machine = ["a-machine"] if verb in ("logs", "config") else []
        done = CliRunner().invoke(app, [verb, *machine, "--stack", name], env={"COLUMNS": "400"})
        assert done.exit_code == 2, verb
        assert "is no stack's name" in done.stderr, verb


def test_down_does_not_reach_the_state_of_another_clone(mesh: Mesh, tmp_path: Path) -> None:
    for clone in ("00000000-other", "11111111-this"):
        (tmp_path / "state" / "envoy-mesh" / clone / "local").mkdir(parents=True)
    theirs = tmp_path / "state" / "envoy-mesh" / "00000000-other" / "local" / "operation.lock"
    theirs.touch()
    assert mesh("down", "--stack", "../00000000-other/local").returncode == 2
    assert theirs.exists()


def test_a_place_that_cannot_hold_a_state_is_told_in_one_line(mesh: Mesh, tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    for settings in ({"XDG_STATE_HOME": str(tmp_path / "a file")}, {"XDG_STATE_HOME": "", "HOME": "/proc"}):
        for verb in ("up", "status", "outputs", "down"):
            done = mesh(verb, **settings)
            assert done.returncode == (0 if verb == "down" else 1)
            assert len(done.stderr.splitlines()) == 1, done.stderr
    for verb in ("up", "status", "down"):
        refused = mesh(verb, "--state", str(tmp_path / "a file"))
        assert refused.returncode == 2
        assert "is a file" in refused.stderr


def test_ctrl_c_before_the_verb_is_loaded_ends_quietly_with_code_130(clone: Path) -> None:
    (clone / "cli" / "app.py").write_text("import time\nprint('loading', flush=True)\ntime.sleep(60)\n")
    words = [sys.executable, "-P", "-m", "cli", "status"]
    environment = {**os.environ, "PYTHONPATH": str(clone)}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert told == ""


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
