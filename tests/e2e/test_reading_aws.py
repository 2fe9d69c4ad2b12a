"""The reading verbs with `--aws`, by the caller's own settings; the local cloud and the engine's state stand in for an account."""

import json
import os
import subprocess

import pytest

from cli.engine import backend_url
from tests.e2e.driver import UP_SECONDS, Stack

pytestmark = pytest.mark.e2e


def read(stack: Stack, *words: str) -> str:
    """`./mesh … --aws` with what `./mesh env` prints as the caller's AWS settings."""
    lines = [line.removeprefix("export ").split("=", 1) for line in stack.mesh("env").stdout.splitlines() if line.startswith("export")]
    home = str(stack.state / "pulumi-home")
    login = {"PULUMI_BACKEND_URL": backend_url(stack.state / "pulumi"), "PULUMI_CONFIG_PASSPHRASE": "", "PULUMI_HOME": home}
    done = subprocess.run(
        [str(stack.clone / "mesh"), *words, "--aws", "--stack", "local"],
        cwd=stack.clone,
        env={**os.environ, **dict(lines), **login},
        capture_output=True,
        text=True,
        timeout=UP_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_outputs_are_those_of_the_engines_state(stack: Stack) -> None:
    assert json.loads(read(stack, "outputs", "--json")) == stack.outputs()


def test_machines_are_those_of_the_supervisor(stack: Stack) -> None:
    keys = ("id", "role", "service", "zone", "address", "health")
    seen = [{key: machine[key] for key in keys} for machine in json.loads(read(stack, "status", "--json"))["machines"]]
    assert seen == [{key: machine[key] for key in keys} for machine in stack.machines()]


def test_smoke_takes_every_arrow(stack: Stack) -> None:
    assert " 0 failed" in read(stack, "smoke")
