"""Runs the Pulumi CLI for the Automation API in a session of its own, so that Ctrl-C reaches it once and in order.

A terminal sends SIGINT to the whole process group: this process would die with a KeyboardInterrupt while the CLI still
cancels, leaving its lock and half-made resources. Here the CLI gets one SIGINT from us, ends what it began, and we wait.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from pulumi.automation import CommandResult, PulumiCommand
from pulumi.automation.errors import create_command_error
from semver import VersionInfo

from cli.pulumi_cli import PulumiCli

OnLine = Callable[[str], object]


class EngineCommand(PulumiCommand):
    """The Pulumi CLI; `interrupt` asks a running operation to end, `keep_open` are descriptors it inherits.

    An inherited lock stays held until the CLI ends, even if this process is killed: the next run waits for it.
    """

    def __init__(self, cli: PulumiCli, keep_open: Sequence[int]) -> None:
        self.command = str(cli.path)
        self.version = VersionInfo.parse(cli.version)
        self.interrupted = False
        self._keep_open = keep_open
        self._running: subprocess.Popen[str] | None = None

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: OnLine | None = None,
        on_error: OnLine | None = None,
    ) -> CommandResult:
        """Runs one command and hands its lines on as they come; raises CommandError if it fails."""
        environment = {**os.environ, **additional_env, "PULUMI_AUTOMATION_API": "true"}
        environment["PATH"] = os.pathsep.join([str(Path(self.command).parent), environment.get("PATH", os.defpath)])
        process = subprocess.Popen(
            [self.command, "--non-interactive", *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=environment,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
            pass_fds=self._keep_open,
        )
        self._running = process
        # A Ctrl-C while it was being started had nobody to go to.
        if self.interrupted:
            process.send_signal(signal.SIGINT)
        lines: tuple[list[str], list[str]] = ([], [])
        readers = [
            threading.Thread(target=_read, args=(stream, kept, callback))
            for stream, kept, callback in zip((process.stdout, process.stderr), lines, (on_output, on_error), strict=True)
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        code = process.wait()
        self._running = None
        result = CommandResult(stdout="\n".join(lines[0]), stderr="\n".join(lines[1]), code=code)
        if code != 0:
            raise create_command_error(result)
        return result

    def interrupt(self) -> None:
        """Asks the running operation to end after what it is doing now; a second call ends it at once."""
        self.interrupted = True
        process = self._running
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)

    @contextmanager
    def interruptible(self, on_interrupt: Callable[[], object]) -> Iterator[None]:
        """While the body runs, SIGINT and SIGTERM go to the operation instead of ending this process."""

        def handle(signum: int, frame: FrameType | None) -> None:
            on_interrupt()
            self.interrupt()

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _read(stream: Iterator[str], kept: list[str], callback: OnLine | None) -> None:
    for line in stream:
        text = line.rstrip()
        kept.append(text)
        if callback is not None:
            callback(text)
