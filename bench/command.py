"""How a bench is asked and how it answers: its words, `--json`, and what it says when it cannot be run."""

import argparse
import json
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog
import uvloop
from rich.table import Table

Result = TypeVar("Result")
ERROR = 40
"""structlog's level: of what the mesh's own parts log only errors are shown."""


def parser(program: str, description: str | None) -> argparse.ArgumentParser:
    """For the words of one bench, to which `answer` adds `--json`."""
    return argparse.ArgumentParser(prog=program, description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def answer(
    words: argparse.ArgumentParser,
    measure: Callable[[argparse.Namespace], Coroutine[Any, Any, Result]],
    show: Callable[[argparse.Namespace, Result], None],
    *,
    refusals: tuple[type[Exception], ...],
) -> None:
    """Measures as asked and prints the result, by `show` where it is not to be JSON; `refusals` end the program with their text alone."""
    words.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = words.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(ERROR))
    try:
        result = uvloop.run(measure(options))
    except refusals as error:
        sys.exit(f"bench: {error}")
    if options.json:
        print(json.dumps(result))
    else:
        show(options, result)


def table(title: str, *columns: str) -> Table:
    """An empty table of figures, whose first column names the rows."""
    made = Table(title=title)
    for column in ("", *columns):
        made.add_column(column, justify="right" if column else "left")
    return made
