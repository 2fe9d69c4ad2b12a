"""One operating-system process of a machine: own session, own log, ended with the supervisor whatever happens to it."""

import asyncio
import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil

from local.machines.ready import Probe
from local.machines.records import ProcessRecord, ProcessRecords, start_ticks

LAST_CHANCE = timedelta(milliseconds=150)
"""Time between a program's own signal for "stop at once" and SIGKILL, where it has one (Postgres frees shared memory)."""


class LaunchError(RuntimeError):
    """A program that cannot be started on this host; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """All that a process needs to start."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path
    as_nobody: bool = False
    """Runs in a user namespace as `nobody`, for programs that refuse root."""
    stop_signal: signal.Signals = signal.SIGTERM
    kill_signal: signal.Signals = signal.SIGKILL
    listens: tuple[tuple[str, int], ...] = ()
    """Addresses that must be free before the start."""
    ready: Probe | None = None
    """Says when the program is ready; without one, being up is being ready."""

    def command_line(self) -> list[str]:
        """The program below the two util-linux tools that set its user and its death signal.

        The signal is set last, since a change of credentials clears it (prctl(2), PR_SET_PDEATHSIG). It fires when the
        *thread* that spawned ends, so processes are spawned from a loop whose thread outlives them.
        """
        words = ["setpriv", "--pdeathsig", self.kill_signal.name.removeprefix("SIG"), "--", self._program()]
        if self.as_nobody and os.geteuid() == 0:
            words = ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--", *words]
        return [*words, *self.argv[1:]]

    def _program(self) -> str:
        program = shutil.which(self.argv[0], path=self.environment.get("PATH"))
        if program is None:
            raise LaunchError(f"program {self.argv[0]!r} is not on this machine")
        return program


class Process:
    """A running program and its end."""

    def __init__(self, popen: subprocess.Popen[bytes], launch: Launch, records: ProcessRecords) -> None:
        self._popen = popen
        self._launch = launch
        self._records = records
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        self._pidfd = os.pidfd_open(popen.pid)
        self._loop.add_reader(self._pidfd, self._on_exit)

    @classmethod
    def spawn(cls, launch: Launch, *, log: Path, records: ProcessRecords, machine: str, service: str) -> "Process":
        """Starts a program from the running loop's thread; raises LaunchError when it cannot."""
        for host, port in launch.listens:
            refuse_taken_port(host, port)
        command = launch.command_line()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            try:
                popen = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd=launch.directory,
                    env=dict(launch.environment),
                    start_new_session=True,
                )
            except OSError as error:
                raise LaunchError(f"{command[0]} cannot be started: {error}") from error
        records.add(ProcessRecord(pid=popen.pid, ticks=start_ticks(popen.pid) or 0, machine=machine, service=service))
        return cls(popen, launch, records)

    @property
    def pid(self) -> int:
        return self._popen.pid

    async def wait(self) -> int:
        """The exit code, negative for a signal; may be awaited by several."""
        return await asyncio.shield(self._ended)

    async def stop(self, grace: timedelta) -> None:
        """Asks for an end, waits, then kills."""
        self._signal(self._launch.stop_signal)
        try:
            await asyncio.wait_for(self.wait(), grace.total_seconds())
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """Ends the program and all that it started, at once."""
        family = self._family()
        self._signal(self._launch.kill_signal)
        if self._launch.kill_signal is not signal.SIGKILL:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.wait(), LAST_CHANCE.total_seconds())
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        self._signal(signal.SIGKILL)
        await self.wait()

    def _family(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def _signal(self, number: signal.Signals) -> None:
        """SIGKILL goes to the whole group; a wish to stop goes to the leader alone, as Docker sends it."""
        if self._ended.done():
            return
        with contextlib.suppress(ProcessLookupError):
            if number is signal.SIGKILL:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)

    def _on_exit(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        code = self._popen.wait()
        self._end_group()
        self._records.remove(self.pid)
        if not self._ended.done():
            self._ended.set_result(code)

    def _end_group(self) -> None:
        """A container ends with its first process; so does the rest of its group here."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def refuse_taken_port(host: str, port: int) -> None:
    """Raises LaunchError naming who listens on an address already."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise LaunchError(f"port {host}:{port} is taken by {_listener(host, port)}") from error
            raise LaunchError(f"{host}:{port} cannot be listened on: {error.strerror}") from error


def _listener(host: str, port: int) -> str:
    for connection in psutil.net_connections("tcp"):
        taken = connection.status == psutil.CONN_LISTEN and tuple(connection.laddr) in ((host, port), ("0.0.0.0", port), ("::", port))
        if taken and connection.pid is not None:
            with contextlib.suppress(psutil.Error):
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return "a process of another user"


def last_line(log: Path, limit: int = 240) -> str:
    """The last line of a log that says anything."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return lines[-1][:limit] if lines else ""
