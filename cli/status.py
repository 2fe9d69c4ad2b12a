"""`./mesh status` and `./mesh env`: what the supervisor and the control planes know, or AWS."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from cli.aws_stack import AwsStack
from cli.console import health, line, out, print_json, table
from cli.document import State, read_document
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
    """Prints the machines and what became of the mesh document.

    Exit code 3 if a machine is not healthy or a control plane does not serve the document, 1 if the stack is not up.
    """
    session = Session.open(stack, directory)
    if as_json and connect(session.state) is None:
        print_json({"machines": []})
    machines = ordered(session.supervisor().status().machines)
    document = read_document(machines, session.deployed_document)
    if as_json:
        print_json({"machines": _told(machines), "document": {"state": document.state, **asdict(document)}})
    else:
        out.print(machine_table(machines))
        line(f"\ndocument {document.sentence()}")
        for text in document.troubles(session.words("logs")):
            line(text)
    if not all(map(is_well, machines)) or document.state is not State.SERVED:
        raise Stop("", Exit.UNHEALTHY)


def status_aws(stack: str, settings: Mapping[str, str], *, as_json: bool) -> None:
    """The machines of a stack in AWS, as EC2 and Auto Scaling tell it; its control planes do not answer from outside."""
    with AwsStack.open(stack, settings) as aws:
        machines = ordered(aws.machines())
    if not machines:
        raise Stop(f"there is no machine with the tag {TAG_STACK}={stack} in {aws.file.region}; `pulumi up -s {stack}` makes them")
    if as_json:
        print_json({"machines": _told(machines)})
    else:
        out.print(machine_table(machines))
        line("\nWhat the control planes serve is not asked: they answer each other and monitoring only (docs/deploy.md, section 7).")
    if not all(map(is_well, machines)):
        raise Stop("", Exit.UNHEALTHY)


def _told(machines: Sequence[MachineView]) -> list[dict[str, Any]]:
    return [{name: getattr(machine, name) for name in SHOWN} for machine in machines]


def is_well(machine: MachineView) -> bool:
    """Whether it is up, or stopped on purpose."""
    return machine.health in ("healthy", "stopped")


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
