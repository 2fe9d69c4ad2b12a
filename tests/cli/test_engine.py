"""The engine's end by a person, with a stand-in for the Pulumi CLI that gets a SIGINT while it works."""

import io
from pathlib import Path

import pytest

from cli.engine import Attached, Engine
from cli.exits import Exit, Stop
from cli.progress import Step
from cli.pulumi_cli import PulumiCli
from cli.session import Session

INTERRUPTED = """#!/bin/sh
trap 'exit 1' INT
kill -INT $PPID
while :; do sleep 0.05; done
"""


def test_an_interrupted_operation_says_what_its_verb_says(tmp_path: Path) -> None:
    command = tmp_path / "pulumi"
    command.write_text(INTERRUPTED)
    command.chmod(0o755)
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "Pulumi.yaml").write_text("name: envoy-mesh\nruntime: python\n")
    cli = PulumiCli(path=command, version="3.258.0")
    engine = Engine(
        repo=tmp_path, stack="zzl", state=tmp_path, cli=cli, log=io.StringIO(), keep_open=(), on_interrupt="`./mesh up --stack zzl` goes on"
    )
    with pytest.raises(Stop, match=r"^`./mesh up --stack zzl` goes on$") as stopped, Step("deploy") as step:
        engine.up(Attached(port=1, packages=["aws"]), step, refresh=False, checkpoints=True)
    assert stopped.value.code is Exit.INTERRUPTED


def test_the_words_for_a_stack_name_it_and_its_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert Session.open("local", None).words("up") == "./mesh up"
    assert Session.open("dev", None).words("up") == "./mesh up --stack dev"
    assert Session.open("dev", tmp_path / "x").words("up") == f"./mesh up --stack dev --state {tmp_path / 'x'}"
