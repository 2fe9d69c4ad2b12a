"""How mistakes of a stack's file are told: all at once, each with place, value, rule and fix."""

from typing import NoReturn

from rich.console import Group
from rich.padding import Padding
from rich.text import Text

from cli.console import err
from cli.exits import Exit, Stop
from model.problems import ConfigError, Problem


def refuse(file: str, error: ConfigError) -> NoReturn:
    """Prints every mistake of the file and raises Stop with exit code 2."""
    count = f"{len(error.problems)} mistake{'s' if len(error.problems) > 1 else ''}"
    err.print(Text(f"{file} has {count}; nothing was touched.", style="red"))
    for problem in error.problems:
        err.print(_shown(problem), soft_wrap=False)
    raise Stop("", Exit.USAGE) from error


def _shown(problem: Problem) -> Padding:
    place = Text.assemble((problem.path, "bold"), " = ", problem.value)
    return Padding(Group(place, Text(f"  rule: {problem.rule}"), Text(f"  fix:  {problem.fix}")), (0, 0, 0, 2))
