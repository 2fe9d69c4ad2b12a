"""Runs the discovery child and hands on what it says; a dead or silent child is started anew, what was known stands."""

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from apps.control_plane.discovery.reports import Publish, from_line

LONGEST_LINE = 64 << 20
"""Bytes; all endpoints of a mesh are one line."""
SILENCE_SECONDS = 90.0
"""A child that says nothing for so long hangs: even a throttled one sweeps more often."""
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
HEALTHY_SECONDS = 60.0
"""A child that lived so long has earned the shortest pause again."""
END_SECONDS = 2.0

log = structlog.get_logger()


class ChildSettings(Protocol):
    """What the child has to know."""

    @property
    def stack(self) -> str: ...
    @property
    def bucket(self) -> str: ...
    @property
    def instance_id(self) -> str: ...
    @property
    def sweep_seconds(self) -> float: ...
    @property
    def document_seconds(self) -> float: ...
    @property
    def drain_seconds(self) -> float: ...


def command_of(settings: ChildSettings) -> list[str]:
    """The child's command line; credentials and the endpoint come by its environment."""
    words = [sys.executable, "-m", "apps.control_plane.discovery.aws", f"--stack={settings.stack}", f"--bucket={settings.bucket}"]
    words += [f"--sweep-seconds={settings.sweep_seconds}", f"--document-seconds={settings.document_seconds}"]
    words += [f"--drain-seconds={settings.drain_seconds}"]
    return [*words, "--inside"] if settings.instance_id else words


class ChildDiscovery:
    """A `Discovery` that is another process."""

    def __init__(self, command: Sequence[str], *, restarted: Callable[[], None], silence: float = SILENCE_SECONDS) -> None:
        self._command = command
        self._restarted = restarted
        self._silence = silence

    async def run(self, publish: Publish) -> None:
        """Keeps a child running until cancelled."""
        failures = 0
        while True:
            begun = time.monotonic()
            reason = await self._run_once(publish)
            failures = 1 if time.monotonic() - begun >= HEALTHY_SECONDS else failures + 1
            pause = min(FIRST_PAUSE * 2.0 ** (failures - 1), LONGEST_PAUSE)
            log.error("discovery child ended; what was known stands", reason=reason, again_in=pause)
            self._restarted()
            await asyncio.sleep(pause)

    async def _run_once(self, publish: Publish) -> str:
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe, limit=LONGEST_LINE)
        log.info("discovery child started", pid=child.pid)
        try:
            return await self._read(child, publish)
        finally:
            await _end(child)

    async def _read(self, child: asyncio.subprocess.Process, publish: Publish) -> str:
        pipe = child.stdout
        if pipe is None:
            return "no pipe"
        while True:
            try:
                # `wait_for` of Python 3.11 loses a cancellation that meets a line.
                async with asyncio.timeout(self._silence):
                    line = await pipe.readline()
            except TimeoutError:
                return f"silent for {self._silence} s"
            except ValueError:
                return f"a line longer than {LONGEST_LINE} bytes"
            if not line:
                return f"exit code {await child.wait()}"
            try:
                publish(from_line(line))
            except ValueError as error:
                return str(error)


async def _end(child: asyncio.subprocess.Process) -> None:
    """Closes the child's stdin, which ends it, and kills it if that does not help."""
    if child.stdin:
        child.stdin.close()
    try:
        await asyncio.wait_for(child.wait(), END_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
