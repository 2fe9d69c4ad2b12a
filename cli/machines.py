"""`./mesh logs` and `./mesh config`: one machine, looked at closely."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from cli.console import out, print_json, table
from cli.exits import Exit, Stop
from cli.session import Session
from local.supervisor.client import MachineView, SupervisorClient
from model.contract import ADMIN_PORT

TAIL_SECONDS = 0.2
ADMIN_SECONDS = 10


def logs(stack: str, directory: Path | None, machine: str, program: str | None, *, follow: bool) -> None:
    """Prints a program's log; without a program, lists the machine's."""
    client = Session.open(stack, directory).supervisor()
    found = find_machine(client, machine)
    files = client.logs(found.id)
    if program is None and len(files) != 1:
        out.print(table(["program", "log"], [[name, str(path)] for name, path in files.items()]))
        return
    path = files.get(program or next(iter(files)))
    if path is None:
        raise Stop(f"{found.id} has no program {program!r}; it has {', '.join(files) or 'none yet'}", Exit.USAGE)
    for text in _text(path, follow=follow):
        out.file.write(text)
        out.file.flush()


def config(stack: str, directory: Path | None, machine: str) -> None:
    """Prints the config dump of a machine's Envoy; secrets are blinded by Envoy itself."""
    found = find_machine(Session.open(stack, directory).supervisor(), machine)
    # Locally a machine's loopback is its own address.
    url = f"http://{found.address}:{ADMIN_PORT}/config_dump?include_eds"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=ADMIN_SECONDS) as answer:
            print_json(json.load(answer))
    except (urllib.error.URLError, TimeoutError) as error:
        raise Stop(f"no Envoy answers on {found.id} ({found.role}/{found.service}, {found.health}): {error}") from error


def find_machine(client: SupervisorClient, name: str) -> MachineView:
    """The one machine that an id, the beginning of one, a node id or a service means; raises Stop if it is none or several."""
    machines = client.status().machines
    found = [one for one in machines if _is_named(one, name)]
    exact = [one for one in found if name in (one.id, node_id(one))]
    if len(exact or found) == 1:
        return (exact or found)[0]
    listed: Sequence[MachineView] = found or machines
    choice = "\n".join(f"  {node_id(one)}" for one in listed)
    raise Stop(f"{name!r} names {'several machines' if found else 'no machine'}; there are:\n{choice}", Exit.USAGE)


def node_id(machine: MachineView) -> str:
    """`role/service/instance`."""
    return f"{machine.role}/{machine.service}/{machine.id}"


def _is_named(machine: MachineView, name: str) -> bool:
    return name != "" and (machine.id.startswith(name) or node_id(machine).startswith(name) or name in (machine.service, machine.address))


def _text(path: Path, *, follow: bool) -> Iterator[str]:
    with path.open(errors="replace") as file:
        while True:
            text = file.read()
            if text:
                yield text
            elif follow:
                time.sleep(TAIL_SECONDS)
            else:
                return
