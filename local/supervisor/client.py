"""How commands talk to a stack's supervisor: start it or find it, ask it, end it, clean up after it."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from local.machines.context import REPOSITORY
from local.machines.process import last_line
from local.machines.records import ProcessRecord, ProcessRecords
from local.stacks.state import StackState
from local.supervisor import unix_socket
from local.supervisor.identity import SupervisorIdentity, hold_lock, read_identity

START_LIMIT = timedelta(seconds=20)
STOP_LIMIT = timedelta(seconds=20)
PAUSE_SECONDS = 0.02
LONG_POLL = timedelta(seconds=30)


class SupervisorError(RuntimeError):
    """A supervisor that does not start, answer or end; the message says where its log is."""


@dataclass(frozen=True, kw_only=True)
class MachineView:
    """One machine, as the supervisor tells it."""

    id: str
    role: str
    service: str
    zone: str
    address: str
    health: str
    detail: str
    elastic_addresses: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class StackStatus:
    """The supervisor's whole status."""

    machines: tuple[MachineView, ...]
    version: int
    settled: bool
    """Every machine is healthy, or stopped on purpose."""
    cloud_url: str
    boot_id: str
    pid: int
    region: str
    cidr: str


@dataclass(frozen=True)
class SupervisorClient:
    """Talks to the supervisor of one stack; makes a connection for each question."""

    state: StackState

    def status(self) -> StackStatus:
        """Machines, cloud and identity, as they are now."""
        return _status(self._ask("GET", "/status"))

    def wait(self, timeout: timedelta, *, version: int | None = None) -> StackStatus:
        """With `version`, returns when the status is a newer one; without, when all machines are settled; in any case after `timeout`."""
        query = {"timeout": timeout.total_seconds(), **({} if version is None else {"version": version})}
        return _status(self._ask("GET", f"/wait?{urlencode(query)}", patience=timeout.total_seconds() + 5))

    def follow(self, timeout: timedelta) -> Iterator[StackStatus]:
        """Each status that differs, until all machines are settled or the time is over; the last is how it ended."""
        deadline = time.monotonic() + timeout.total_seconds()
        status = self.status()
        yield status
        while not status.settled and (left := deadline - time.monotonic()) > 0:
            newer = self.wait(min(LONG_POLL, timedelta(seconds=left)), version=status.version)
            if newer.version != status.version:
                yield newer
            status = newer

    def logs(self, machine: str) -> dict[str, Path]:
        """Service → log of a machine, also of one that ended lately."""
        return {service: Path(path) for service, path in self._ask("GET", f"/machines/{quote(machine)}/logs")["logs"].items()}

    def stop(self) -> None:
        """Ends machines, cloud and supervisor; returns when they are gone."""
        identity = read_identity(self.state)
        self._ask("POST", "/stop")
        _until_gone(self.state, identity)

    def _ask(self, method: str, path: str, *, patience: float = 10.0) -> dict[str, Any]:
        connection = _UnixConnection(self.state.socket, patience)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
            raise SupervisorError(f"the stack's supervisor does not answer ({error}); its log: {self.state.supervisor_log}") from error
        finally:
            connection.close()
        if response.status != http.HTTPStatus.OK:
            raise SupervisorError(str(answer.get("error", response.reason)))
        return answer


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path
        self._patience = timeout

    def connect(self) -> None:
        self.sock: socket.socket = unix_socket.connect(self._path, self._patience)


def connect(state: StackState) -> SupervisorClient | None:
    """A client of the running supervisor, None when there is none."""
    identity = read_identity(state)
    return SupervisorClient(state) if identity is not None and identity.lives() and state.socket.exists() else None


def start_or_connect(state: StackState, *, region: str, cidr: IPv4Network) -> SupervisorClient:
    """The stack's supervisor, started when it does not run; it outlives the caller and its terminal."""
    client = connect(state)
    if client is None:
        client = _start(state, region, cidr)
    status = client.status()
    if (status.region, status.cidr) != (region, str(cidr)):
        raise SupervisorError(
            f"the stack runs in {status.region} with {status.cidr}, not in {region} with {cidr}; end it first with `./mesh down`"
        )
    return client


def kill_leftovers(state: StackState) -> list[ProcessRecord]:
    """Ends the machines' processes that a dead supervisor left, by recorded pid and start time; none while one lives."""
    if not state.root.is_dir():
        return []
    lock = hold_lock(state)
    if lock is None:
        return []
    with lock:
        state.socket.unlink(missing_ok=True)
        state.supervisor_file.unlink(missing_ok=True)
        return ProcessRecords(state.processes).kill_leftovers(state.machines)


def _start(state: StackState, region: str, cidr: IPv4Network) -> SupervisorClient:
    state.make()
    state.supervisor_file.unlink(missing_ok=True)
    words = [sys.executable, "-m", "local.supervisor", "--state", str(state.root), "--region", region, "--cidr", str(cidr)]
    with state.supervisor_log.open("ab") as output:
        process = subprocess.Popen(
            words,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_LIMIT.total_seconds()
    while time.monotonic() < deadline:
        client = connect(state)
        if client is not None:
            return client
        if process.poll() is not None:
            raise SupervisorError(f"the supervisor ends at once: {last_line(state.supervisor_log)}; its log: {state.supervisor_log}")
        time.sleep(PAUSE_SECONDS)
    process.kill()
    raise SupervisorError(f"the supervisor does not answer within {START_LIMIT.total_seconds():g} s; its log: {state.supervisor_log}")


def _until_gone(state: StackState, identity: SupervisorIdentity | None) -> None:
    deadline = time.monotonic() + STOP_LIMIT.total_seconds()
    while identity is not None and identity.lives():
        if time.monotonic() > deadline:
            raise SupervisorError(f"the supervisor (pid {identity.pid}) does not end; its log: {state.supervisor_log}")
        time.sleep(PAUSE_SECONDS)


def _status(answer: dict[str, Any]) -> StackStatus:
    machines = tuple(MachineView(**{**one, "elastic_addresses": tuple(one["elastic_addresses"])}) for one in answer.pop("machines"))
    return StackStatus(machines=machines, **answer)
