"""Finding the Pulumi CLI, with a stand-in on PATH."""

import os
from pathlib import Path

import pytest

from cli.pulumi_cli import find_pulumi

PULUMI = """#!/bin/sh
mkdir -p "${PULUMI_HOME:-$HOME/.pulumi}/logs"
echo v3.258.0
"""


def test_asking_the_callers_cli_for_its_version_leaves_nothing_in_their_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools, home, temporary = tmp_path / "tools", tmp_path / "home", tmp_path / "temporary"
    for directory in (tools, home, temporary):
        directory.mkdir()
    (tools / "pulumi").write_text(PULUMI)
    (tools / "pulumi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("PULUMI_HOME", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    found = find_pulumi(tmp_path, tmp_path / "cache")
    assert (found.path, found.version) == (tools / "pulumi", "3.258.0")
    assert not list(home.iterdir())
    assert not list(temporary.iterdir())
