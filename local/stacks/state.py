"""The state directory of a local stack: outside the repository, one for each stack of each clone."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from model.contract import PROJECT

STACK_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
"""Pulumi's form of a stack's name (pulumi/sdk/go/common/tokens, and the backends' own check)."""
SHOWN_LENGTH = 40


class StackNameError(ValueError):
    """A name that no stack can have; the message has the rule."""


class StateError(RuntimeError):
    """A stack's state cannot be kept where it was asked for; the message says why, and how to name another place."""


@dataclass(frozen=True)
class StackState:
    """Paths below one stack's state directory."""

    root: Path

    @property
    def workspace(self) -> Path:
        """Pulumi's work directory: copies of the YAML files."""
        return self.root / "workspace"

    @property
    def pulumi(self) -> Path:
        """Pulumi's file backend."""
        return self.root / "pulumi"

    @property
    def machines(self) -> Path:
        """`<instance id>/root` and `<instance id>/logs`."""
        return self.root / "machines"

    @property
    def volumes(self) -> Path:
        """Data volumes; they outlive machines and clouds."""
        return self.root / "volumes"

    @property
    def processes(self) -> Path:
        """Records of the machines' processes."""
        return self.root / "processes"

    @property
    def socket(self) -> Path:
        """The supervisor's API."""
        return self.root / "supervisor.sock"

    @property
    def supervisor_file(self) -> Path:
        """The running supervisor's pid, start time, cloud URL and boot id."""
        return self.root / "supervisor.json"

    @property
    def supervisor_lock(self) -> Path:
        """Locked by the supervisor while it lives."""
        return self.root / "supervisor.lock"

    @property
    def supervisor_log(self) -> Path:
        return self.root / "supervisor.log"

    @property
    def range_file(self) -> Path:
        """The stack's address range, kept until `down`."""
        return self.root / "range"

    def make(self) -> None:
        """Makes the directory, for its owner only: machines keep private keys in it."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StateError(
                f"the stack's state cannot be kept in {self.root} ({error.filename}: {error.strerror}); "
                "name another place by --state or XDG_STATE_HOME"
            ) from error


def check_stack_name(name: str) -> None:
    """Raises StackNameError unless Pulumi takes the name; it becomes part of paths, so `.` and `..` are none."""
    if not STACK_NAME.fullmatch(name) or name in (".", ".."):
        shown = name if len(name) <= SHOWN_LENGTH else f"{name[:SHOWN_LENGTH]}…"
        rule = "letters from a to z, digits, `-`, `_` and `.`, at most 100 of them, not `.` or `..`"
        raise StackNameError(f"{shown!r} is no stack's name: {rule}")


def stack_state(clone: Path, stack: str, *, override: Path | None = None) -> StackState:
    """The state of a stack of a clone; `override` is the directory that `--state` names. Raises StackNameError."""
    check_stack_name(stack)
    if override is not None:
        return StackState(override.expanduser().absolute())
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    place = clone.resolve()
    digest = hashlib.sha256(str(place).encode()).hexdigest()[:8]
    return StackState(home / PROJECT / f"{digest}-{place.name}" / stack)
