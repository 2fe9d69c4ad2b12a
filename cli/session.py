"""What every verb starts from: the clone, the stack, its state directory, its supervisor if one runs, and its lock."""

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cli.console import err
from cli.exits import Stop
from cli.workspace import stack_file
from local.stacks import StackState, stack_state
from local.supervisor.client import SupervisorClient, SupervisorError, connect
from local.supervisor.identity import read_identity

REPO = Path(__file__).resolve().parent.parent
PAUSE_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Session:
    """One stack of this clone."""

    stack: str
    state: StackState

    @classmethod
    def open(cls, stack: str, directory: Path | None) -> "Session":
        """The stack whose state is in `directory`, by default in a place outside the repository.

        Raises Stop when there is neither a file nor a state of it; the file of a stack that is up may be gone.
        """
        state = stack_state(REPO, stack, override=directory)
        if not state.root.exists():
            stack_file(REPO, stack)
        return cls(stack=stack, state=state)

    @property
    def ca_file(self) -> Path:
        """The mesh CA, for `curl --cacert`."""
        return self.state.root / "ca.pem"

    @property
    def outputs_file(self) -> Path:
        """The stack's outputs as the last `up` gave them."""
        return self.state.root / "outputs.json"

    @property
    def deployed_document(self) -> str | None:
        """Version of the mesh document that the last `up` wrote; None when none has ended well."""
        try:
            outputs: dict[str, str] = json.loads(self.outputs_file.read_text())
        except FileNotFoundError:
            return None
        return outputs.get("document")

    @property
    def boot_file(self) -> Path:
        """Boot id of the cloud that the engine's state describes."""
        return self.state.root / "deployed-boot-id"

    @property
    def engine_log(self) -> Path:
        """What the engine printed, each `up` after the other."""
        return self.state.root / "engine.log"

    def supervisor(self) -> SupervisorClient:
        """The running supervisor; raises Stop when there is none."""
        client = connect(self.state)
        if client is None:
            stack_file(REPO, self.stack)
            raise Stop(f"the stack {self.stack!r} is not up (its state would be in {self.state.root}); `{self.words('up')}` starts it")
        return client

    def words(self, verb: str) -> str:
        """A command for this stack, as its user would write it."""
        stack = "" if self.stack == "local" else f" --stack {self.stack}"
        place = "" if self.state == stack_state(REPO, self.stack) else f" --state {self.state.root}"
        return f"./mesh {verb}{stack}{place}"

    @contextmanager
    def alone(self) -> Iterator[int]:
        """Holds the stack's lock and yields its descriptor; children that inherit it hold the lock on while they live.

        So an engine that outlived a killed command is waited for, not run over.
        """
        self.state.make()
        path = self.state.root / "operation.lock"
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                err.print(f"another command works on this stack ({path}); waiting for it", markup=False)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # `down` removes the directory: a lock on a file that is gone keeps nobody out.
            if path.exists() and os.fstat(descriptor).st_ino == path.stat().st_ino:
                break
            os.close(descriptor)
            self.state.make()
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def end_supervisor(state: StackState) -> None:
    """Asks the stack's supervisor to end, if one runs; one that does not is killed, its machines with it."""
    client, identity = connect(state), read_identity(state)
    if client is None or identity is None:
        return
    try:
        client.stop()
    except SupervisorError as error:
        err.print(f"{error}; killing it", markup=False)
        with suppress(ProcessLookupError):
            os.kill(identity.pid, signal.SIGKILL)
        while identity.lives():
            time.sleep(PAUSE_SECONDS)
