"""Checks a stack's config as the program will, before anything is started: all mistakes at once, as a list for a person."""

import json

import pulumi.runtime
from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from cli.console import err
from cli.exits import Exit, Stop
from cli.workspace import StackFile
from model.contract import PROJECT
from model.problems import ConfigError, Problem
from model.spec import MeshSpec
from settings import read_settings


def check(stack: str, file: StackFile) -> MeshSpec:
    """The stack's mesh; raises Stop with exit code 2 after printing every mistake."""
    config = file.content["config"]
    pulumi.runtime.set_all_config({key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()})
    pulumi.runtime.configure(pulumi.runtime.Settings(project=PROJECT, stack=stack, dry_run=True))
    try:
        return read_settings().mesh
    except ConfigError as error:
        count = f"{len(error.problems)} mistake{'s' if len(error.problems) > 1 else ''}"
        err.print(f"[red]{file.path.name} has {count}; nothing was touched.[/]")
        for problem in error.problems:
            err.print(_shown(problem), soft_wrap=False)
        raise Stop("", Exit.USAGE) from error


def _shown(problem: Problem) -> Padding:
    place = Text.assemble((problem.path, "bold"), " = ", problem.value)
    return Padding(Group(place, Text(f"  rule: {problem.rule}"), Text(f"  fix:  {problem.fix}")), (0, 0, 0, 2))
