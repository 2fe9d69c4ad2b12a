"""`./mesh down`: ends machines and cloud, gives the address range back, removes the state.

The engine is not asked to destroy anything: all that the stack made is in its cloud's memory and its state directory.
"""

import shutil
from contextlib import suppress
from pathlib import Path

from cli.console import err
from cli.exits import Stop
from cli.progress import Step
from cli.session import Session, end_supervisor
from local.stacks import free_range
from local.supervisor.client import kill_leftovers


def down(stack: str, directory: Path | None) -> None:
    """Leaves nothing of the stack; also where a supervisor died, and where there is no stack at all."""
    session = Session.open(stack, directory)
    root = session.state.root
    if not root.exists():
        err.print(f"the stack {stack!r} is not up: {root} is not there", markup=False)
        return
    if any(root.iterdir()) and not _ours(session):
        raise Stop(f"{root} does not look like a stack's state (no operation.lock in it); it was left alone")
    with session.alone(), Step("down") as step:
        step.update(current="ending machines and cloud")
        end_supervisor(session.state)
        leftovers = kill_leftovers(session.state)
        free_range(session.state)
        shutil.rmtree(root)
        step.result = "machines, cloud, address range and state are gone"
        if leftovers:
            step.result += f"; {len(leftovers)} leftover processes ended"
    if directory is None:
        with suppress(OSError):
            root.parent.rmdir()


def _ours(session: Session) -> bool:
    return (session.state.root / "operation.lock").exists() or session.state.supervisor_lock.exists()
