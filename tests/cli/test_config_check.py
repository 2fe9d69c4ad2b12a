"""How the mistakes of a stack's config look to a person."""

from pathlib import Path

import pytest

from cli import config_check
from cli.console import err
from cli.exits import Exit, Stop
from cli.workspace import StackFile
from model.problems import ConfigError, Problem


def test_a_mistake_is_told_whole_however_narrow_the_screen_is(monkeypatch: pytest.MonkeyPatch) -> None:
    rule, fix = "a rule of many words " * 9 + "with an end", "a fix of many words " * 9 + "done"
    problem = Problem("mesh.services.web.env", "26,000 bytes", rule, fix)

    def refuse() -> None:
        raise ConfigError([problem])

    monkeypatch.setattr("cli.config_check.read_settings", refuse)
    monkeypatch.setattr("pulumi.runtime.set_all_config", lambda config: None)
    monkeypatch.setattr("pulumi.runtime.configure", lambda settings: None)
    with err.capture() as captured, pytest.raises(Stop) as stopped:
        config_check.check("dev", StackFile(path=Path("Pulumi.dev.yaml"), content={"config": {}}))
    assert stopped.value.code == Exit.USAGE
    said = " ".join(captured.get().split())
    assert f"{problem.path} = {problem.value}" in said
    assert f"rule: {problem.rule}" in said
    assert f"fix: {problem.fix}" in said
