"""Pulumi's real engine, where it refuses to begin."""

import io
from pathlib import Path

import pytest

from cli.engine import Engine
from cli.exits import Stop
from cli.pulumi_cli import find_pulumi
from local.tool_cache import cache_directory

REPO = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.e2e


def test_a_stack_that_the_engine_cannot_make_is_told_with_its_reason(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "Pulumi.yaml").write_bytes((REPO / "Pulumi.yaml").read_bytes())
    (workspace / "Pulumi.dev.yaml").write_text("config: {a:b: 1, a:b: 2}\n")
    pulumi = find_pulumi(REPO, cache_directory())
    engine = Engine(repo=REPO, stack="dev", state=tmp_path, cli=pulumi, log=io.StringIO(), keep_open=[], on_interrupt="")
    with pytest.raises(Stop, match=r'the engine could not make the stack: .*mapping key "a:b" already defined'):
        engine.prepare()
    assert not engine.exists
