"""The launcher in a real shell, with a cache of its own and stand-ins for the tools that would reach the network."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
Launch = Callable[..., subprocess.CompletedProcess[str]]

UV = """#!/bin/sh
echo "uv $*" >> "$CALLS"
case $1 in
    venv) for last; do :; done; mkdir -p "$last/bin"; printf '#!/bin/sh\\necho "$PYTHONPATH|$*|$PWD"\\nexit 7\\n' > "$last/bin/python"
        chmod +x "$last/bin/python" ;;
    pip) [ -z "${UV_FAILS:-}" ] || exit 9 ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone, as far as the launcher looks at one, in a directory with a space in its name."""
    clone = tmp_path / "a clone"
    clone.mkdir()
    for name in ("mesh", "requirements.lock"):
        shutil.copy(REPO / name, clone)
    return clone


def clean_environment(tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": f"{tmp_path / 'tools'}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "ENVOY_MESH_CACHE": str(tmp_path / "the cache"),
        "CALLS": str(tmp_path / "calls"),
    }


@pytest.fixture
def launch(tmp_path: Path, clone: Path) -> Launch:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "uv").write_text(UV)
    (tools / "uv").chmod(0o755)
    (tools / "python3").symlink_to(sys.executable)

    def run(*words: str, script: Path = clone / "mesh", cwd: Path = tmp_path, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {**clean_environment(tmp_path), **environment}
        return subprocess.run([script, *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=30, check=False)

    return run


def calls(tmp_path: Path) -> list[str]:
    made = tmp_path / "calls"
    return made.read_text().splitlines() if made.exists() else []


def test_the_first_run_makes_the_environment_with_hashes_and_the_second_uses_it(launch: Launch, tmp_path: Path, clone: Path) -> None:
    first = launch("status", "--json")
    assert first.returncode == 7
    assert first.stdout.strip() == f"{clone}|-P -m cli status --json|{tmp_path}"
    assert "making the Python environment" in first.stderr
    assert len(calls(tmp_path)) == 2
    assert "--require-hashes" in calls(tmp_path)[1]
    second = launch("status", "--json")
    assert second.stdout == first.stdout
    assert second.stderr == ""
    assert len(calls(tmp_path)) == 2


def test_another_lock_makes_another_environment(launch: Launch, tmp_path: Path, clone: Path) -> None:
    launch()
    with (clone / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    launch()
    assert len(calls(tmp_path)) == 4
    assert len(list((tmp_path / "the cache" / "envs").iterdir())) == 3  # and the lock file


def test_a_failed_install_leaves_no_environment_and_says_what_to_do(launch: Launch, tmp_path: Path) -> None:
    failed = launch(UV_FAILS="1")
    assert failed.returncode == 1
    assert "needs a package index" in failed.stderr
    assert [path.name for path in (tmp_path / "the cache" / "envs").iterdir()] == [".lock"]
    assert launch().returncode == 7


def test_a_link_to_the_launcher_runs_the_clone_that_it_points_to(launch: Launch, tmp_path: Path, clone: Path) -> None:
    (tmp_path / "bin").mkdir()
    link, second = tmp_path / "bin" / "envoy-mesh", tmp_path / "em"
    link.symlink_to("../a clone/mesh")
    second.symlink_to(link)
    assert launch("up", script=second).stdout.startswith(f"{clone}|")


def test_two_launchers_at_once_make_one_environment(clone: Path, tmp_path: Path, launch: Launch) -> None:
    (tmp_path / "tools" / "uv").write_text(UV.replace("venv)", "venv) sleep 0.5;"))
    pipe, environment = subprocess.PIPE, clean_environment(tmp_path)
    both = [subprocess.Popen([clone / "mesh"], env=environment, stdout=pipe, stderr=pipe, text=True) for _ in range(2)]
    told = [process.communicate(timeout=30)[1] for process in both]
    assert [process.returncode for process in both] == [7, 7]
    assert len(calls(tmp_path)) == 2
    assert sum("waiting for it" in text for text in told) == 1


def test_an_old_python_is_refused_with_what_to_install(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "tools" / "python3").unlink()
    for name in ("python3", "python3.14", "python3.13", "python3.12", "python3.11"):
        (tmp_path / "tools" / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "tools" / name).chmod(0o755)
    refused = launch()
    assert refused.returncode == 1
    assert "3.11" in refused.stderr
    assert "apt-get install python3" in refused.stderr


@pytest.mark.parametrize("home", [[], ["HOME="]])
def test_without_a_home_the_users_own_entry_says_it(launch: Launch, tmp_path: Path, clone: Path, home: list[str]) -> None:
    launch()
    getent = tmp_path / "tools" / "getent"
    getent.write_text(f'#!/bin/sh\necho "$*" >> "$CALLS"\necho "me:x:1:1:me:{tmp_path / "my home"}:/bin/sh"\n')
    getent.chmod(0o755)
    (tmp_path / "my home" / ".cache").mkdir(parents=True)
    (tmp_path / "my home" / ".cache" / "envoy-mesh").symlink_to(tmp_path / "the cache")
    settings = [f"{name}={clean_environment(tmp_path)[name]}" for name in ("PATH", "CALLS")]
    words = ["env", "-i", *settings, *home, clone / "mesh", "status"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (7, "")
    assert calls(tmp_path)[-1] == f"passwd {os.getuid()}"
    getent.write_text("#!/bin/sh\nexit 2\n")
    refused = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert refused.returncode == 1
    assert refused.stderr == "mesh: HOME is not set, and passwd has no entry for this user. Set HOME to a directory that may be written.\n"


def test_a_warm_launch_runs_three_small_programs_and_no_more(launch: Launch, tmp_path: Path) -> None:
    """Whatever else it ran would be paid by each `./mesh …`."""
    launch()
    tools, before = tmp_path / "tools", len(calls(tmp_path))
    for program in {path.name for place in ("/usr/bin", "/bin") for path in Path(place).iterdir()} - {"sh", "env", "python3"}:
        real = shutil.which(program, path="/usr/bin:/bin")
        if real and not (tools / program).exists():
            (tools / program).write_text(f'#!/bin/sh\necho {program} >> "$CALLS"\nexec {real} "$@"\n')
            (tools / program).chmod(0o755)
    assert launch("status").stdout.strip().endswith(f"|-P -m cli status|{tmp_path}")
    assert sorted(calls(tmp_path)[before:]) == ["cksum", "cmp", "dirname"]


def test_the_lock_names_no_host_and_hashes_every_package() -> None:
    text = (REPO / "requirements.lock").read_text()
    assert "://" not in text
    assert "--index" not in text
    packages = [line for line in text.splitlines() if line[:1].isalnum()]
    assert all("==" in line and line.endswith("\\") for line in packages)
    assert len(packages) > 100


def test_every_requirement_is_locked() -> None:
    locked = {line.split("==")[0] for line in (REPO / "requirements.lock").read_text().splitlines() if "==" in line}
    wanted = {line.split("[")[0].lower() for line in (REPO / "requirements.in").read_text().split()}
    assert wanted <= {name.split("[")[0] for name in locked}


def test_the_launcher_is_plain_posix_shell() -> None:
    assert os.access(REPO / "mesh", os.X_OK)
    dash = shutil.which("dash") or "/bin/sh"
    assert subprocess.run([dash, "-n", REPO / "mesh"], check=False).returncode == 0
