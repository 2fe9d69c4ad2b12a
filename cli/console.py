"""What `./mesh` prints: results on standard output, everything about the work on standard error."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 200
"""Columns where no terminal says how many there are."""

out = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
err = Console(file=sys.stderr, soft_wrap=True, highlight=False)
"""Bound to the stream as it is now: what the engine and the SDK write to `sys.stderr` later goes to a log."""


def print_json(value: Any) -> None:
    """Plain JSON, the same on a terminal and in a pipe."""
    json.dump(value, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")


def line(text: str = "") -> None:
    """One line of a result, as it is: never broken, nothing in it taken for markup."""
    out.print(text, markup=False, soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table that looks the same for every verb; only its last column is broken over lines."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns[:-1]:
        made.add_column(column, no_wrap=True)
    made.add_column(columns[-1], overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


HEALTH_STYLE = {"healthy": "green", "starting": "yellow", "unhealthy": "red", "stopped": "dim"}


def health(word: str) -> str:
    """A machine's health, coloured."""
    return f"[{HEALTH_STYLE.get(word, 'red')}]{word}[/]"
