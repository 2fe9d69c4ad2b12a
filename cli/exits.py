"""How a verb ends: the exit codes, and the one exception that carries a message for a person."""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of `./mesh`, as its help lists them."""

    OK = 0
    FAILED = 1
    """The work could not be done, or a check of it did not pass."""
    USAGE = 2
    """Wrong words on the command line or mistakes in the stack config; nothing was touched."""
    UNHEALTHY = 3
    """The work was done, but not every machine is healthy, or a control plane does not serve the mesh document."""
    INTERRUPTED = 130
    """Ctrl-C; the state is kept and the next run finishes the work."""
    NO_READER = 141
    """Who read the output ended first, as `head` does: what a shell says of a command that SIGPIPE ended."""


class Stop(Exception):
    """Ends a verb: `message` says what went wrong and what to do, `code` is the process's exit code."""

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
