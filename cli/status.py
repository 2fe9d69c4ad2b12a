"""`./mesh status` and `./mesh env`: what the supervisor knows, or AWS."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from cli.aws_stack import AwsStack
from cli.console import health, line, out, print_json, table
from cli.exits import Exit, Stop
from cli.session import Session
from local.isolation import cloud_environment
from local.supervisor.client import MachineView, connect
from model.contract import TAG_STACK

SHOWN = ("id", "role", "service", "zone", "address", "health", "detail")
CALLERS_OWN = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE")
"""Settings of the caller that would win over what `env` exports."""
IN_ORDER = ("edge", "outer-edge", "control-plane", "service", "database", "monitoring", "identity")


def status(stack: str, directory: Path | None, *, as_json: bool) -> None:
    """Prints the machines; exit code 3 if one is not healthy, 1 if the stack is not up."""
    session = Session.open(stack, directory)
    if as_json and connect(session.state) is None:
        print_json({"machines": []})
    _show(session.supervisor().status().machines, as_json=as_json)


def status_aws(stack: str, settings: Mapping[str, str], *, as_json: bool) -> None:
    """The same of a stack in AWS, as EC2 and Auto Scaling tell it."""
    with AwsStack.open(stack, settings) as aws:
        machines = aws.machines()
    if not machines:
        raise Stop(f"there is no machine with the tag {TAG_STACK}={stack} in {aws.file.region}; `pulumi up -s {stack}` makes them")
    _show(machines, as_json=as_json)


def _show(found: Sequence[MachineView], *, as_json: bool) -> None:
    machines = ordered(found)
    if as_json:
        print_json({"machines": [{name: getattr(machine, name) for name in SHOWN} for machine in machines]})
    else:
        out.print(machine_table(machines))
    if any(machine.health not in ("healthy", "stopped") for machine in machines):
        raise Stop("", Exit.UNHEALTHY)


def env(stack: str, directory: Path | None) -> None:
    """Prints lines for a shell's `eval`."""
    current = Session.open(stack, directory).supervisor().status()
    line(f"unset {' '.join(CALLERS_OWN)}")
    for name, value in cloud_environment(current.cloud_url, current.region).items():
        line(f"export {name}={value}")


def ordered(machines: Sequence[MachineView]) -> list[MachineView]:
    """From the edge inwards."""
    return sorted(machines, key=lambda one: (IN_ORDER.index(one.role) if one.role in IN_ORDER else 99, one.service, one.zone, one.id))


def machine_table(machines: Sequence[MachineView]) -> Table:
    """The machines for a person."""
    rows = [[one.id, one.role, one.service, one.zone, one.address, health(one.health), one.detail] for one in machines]
    return table(["machine", "role", "service", "zone", "address", "health", ""], rows)
