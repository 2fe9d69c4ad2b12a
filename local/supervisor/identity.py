"""Which supervisor runs for a stack: its pid with its start time, and a lock that the kernel frees when it dies."""

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from typing import TextIO

from local.machines.records import start_ticks
from local.stacks.state import StackState


@dataclass(frozen=True, kw_only=True)
class SupervisorIdentity:
    """What `supervisor.json` says."""

    pid: int
    start_time: int
    """Clock ticks between the host's boot and the supervisor's start."""
    moto_url: str
    boot_id: str
    """Another with each start of the cloud, which then is empty."""

    def write(self, state: StackState) -> None:
        """Publishes the identity; a reader sees all of it or the one before."""
        fresh = state.supervisor_file.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self)) + "\n")
        fresh.replace(state.supervisor_file)

    def lives(self) -> bool:
        """Whether that very process still runs."""
        return start_ticks(self.pid) == self.start_time


def read_identity(state: StackState) -> SupervisorIdentity | None:
    """The supervisor that was started last, living or dead; None when there was none."""
    try:
        return SupervisorIdentity(**json.loads(state.supervisor_file.read_text()))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None


def hold_lock(state: StackState) -> TextIO | None:
    """Takes the stack's supervisor lock for as long as the file is open; None when another supervisor has it."""
    state.make()
    file = state.supervisor_lock.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file
