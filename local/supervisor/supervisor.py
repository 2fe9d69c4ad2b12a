"""One stack's supervisor: starts its cloud and its machine host, serves the API, and ends all of it in order."""

import asyncio
import logging
import os
import signal
import uuid
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from ipaddress import IPv4Network
from typing import Any

from local.isolation import cloud_environment
from local.machines.host import HostPaths, MachineHost
from local.machines.records import start_ticks
from local.stacks.state import StackState
from local.supervisor import api, unix_socket
from local.supervisor.identity import SupervisorIdentity

STOP_LIMIT = timedelta(seconds=5)
"""Longest grace of a service when the whole stack ends: nobody waits for its answers any more."""
WAIT_LIMIT = 60.0
"""Longest long poll in seconds."""

log = logging.getLogger("supervisor")


class Supervisor:
    """Runs in the main thread's event loop: machines' processes end with the thread that started them, so with this process."""

    def __init__(self, state: StackState, *, region: str, cidr: IPv4Network) -> None:
        from local.cloud import Cloud

        self._state = state
        self._region = region
        self._cidr = cidr
        self._cloud = Cloud(region, cidr)
        self._host: MachineHost | None = None
        self._identity: SupervisorIdentity | None = None
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Serves until it is told to stop, by the API or by SIGTERM."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        self._cloud.start()
        paths = HostPaths(machines=self._state.machines, volumes=self._state.volumes, processes=self._state.processes)
        self._host = MachineHost(self._cloud, paths, cloud=partial(cloud_environment, self._cloud.url))
        for leftover in await self._host.start():
            log.warning("event=ended_leftover machine=%s service=%s pid=%d", leftover.machine, leftover.service, leftover.pid)
        self._identity = SupervisorIdentity(
            pid=os.getpid(), start_time=start_ticks(os.getpid()) or 0, moto_url=self._cloud.url, boot_id=uuid.uuid4().hex
        )
        server = await api.serve(unix_socket.listen(self._state.socket), self._answer)
        self._identity.write(self._state)
        log.info("event=serving cloud=%s range=%s", self._cloud.url, self._cidr)
        await self._stop.wait()
        log.info("event=stopping")
        server.close()
        await self._host.stop(STOP_LIMIT)
        self._cloud.stop()
        self._state.socket.unlink(missing_ok=True)
        self._state.supervisor_file.unlink(missing_ok=True)

    async def _answer(self, request: api.Request) -> dict[str, Any]:
        match (request.method, *request.path):
            case ("GET", "status"):
                return self._status()
            case ("GET", "wait"):
                return await self._wait(request.query)
            case ("GET", "machines", machine, "logs"):
                return {"logs": self._logs(machine)}
            case ("GET", "machines", machine, "logs", service):
                logs = self._logs(machine)
                if service not in logs:
                    known = ", ".join(logs) or "none"
                    raise api.Refusal(HTTPStatus.NOT_FOUND, f"machine {machine} has no log of {service!r}; it has {known}")
                return {"path": logs[service]}
            case ("POST", "stop"):
                self._stop.set()
                return {"stopping": True}
        raise api.Refusal(HTTPStatus.NOT_FOUND, f"no {request.method} /{'/'.join(request.path)}")

    def _status(self) -> dict[str, Any]:
        host, identity = self._running()
        return {
            "machines": [asdict(machine) for machine in host.status()],
            "version": host.version,
            "settled": host.settled(),
            "cloud_url": identity.moto_url,
            "boot_id": identity.boot_id,
            "pid": identity.pid,
            "region": self._region,
            "cidr": str(self._cidr),
        }

    async def _wait(self, query: dict[str, str]) -> dict[str, Any]:
        """With `version`: returns when the status is another than that; without: when every machine is settled."""
        host, _ = self._running()
        try:
            limit = min(float(query.get("timeout", WAIT_LIMIT)), WAIT_LIMIT)
            known = int(query["version"]) if "version" in query else None
        except ValueError as error:
            raise api.Refusal(HTTPStatus.BAD_REQUEST, f"timeout and version are numbers: {error}") from error
        try:
            async with asyncio.timeout(limit):
                if known is not None:
                    await host.changed_since(known)
                while known is None and not host.settled():
                    await host.changed_since(host.version)
        except TimeoutError:
            pass
        return self._status()

    def _logs(self, machine: str) -> dict[str, str]:
        host, _ = self._running()
        logs = {service: str(path) for service, path in host.logs(machine).items()}
        if not logs and machine not in {one.id for one in host.status()}:
            raise api.Refusal(HTTPStatus.NOT_FOUND, f"there is no machine {machine}")
        return logs

    def _running(self) -> tuple[MachineHost, SupervisorIdentity]:
        if self._host is None or self._identity is None:
            raise api.Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "the supervisor is still starting")
        return self._host, self._identity
