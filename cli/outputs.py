"""`./mesh outputs`: the stack's outputs as the last `up` left them; secrets are blinded."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cli.aws_stack import AwsStack
from cli.console import out, print_json, table
from cli.exits import Stop
from cli.session import Session


def outputs(stack: str, directory: Path | None, *, as_json: bool) -> None:
    """Prints the outputs, by name."""
    _show(read_outputs(Session.open(stack, directory)), as_json=as_json)


def outputs_aws(stack: str, settings: Mapping[str, str], *, as_json: bool) -> None:
    """The same of a stack in AWS."""
    with AwsStack.open(stack, settings) as aws:
        values = aws.outputs()
    _show(values, as_json=as_json)


def _show(values: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(values)
    else:
        out.print(table(["output", "value"], [[name, _short(value)] for name, value in values.items()]))


def read_outputs(session: Session) -> dict[str, Any]:
    """The outputs; raises Stop when no `up` has ended well."""
    try:
        values: dict[str, Any] = json.loads(session.outputs_file.read_text())
    except FileNotFoundError:
        raise Stop(f"the stack {session.stack!r} has no outputs yet; `{session.words('up')}` makes them") from None
    return values


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    first, *more = text.strip().splitlines() or [""]
    return f"{first} … ({len(more)} more lines)" if more else first
