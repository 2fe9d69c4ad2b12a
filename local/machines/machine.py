"""One machine: from the user data of its instance to running services, and to its end."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from ipaddress import IPv4Address

from local.machines.compose import ComposeError, Condition, read_compose
from local.machines.context import MachineContext
from local.machines.instance import Instance, InstanceFacts
from local.machines.service import Phase, ServiceRunner
from local.machines.user_data import UserDataError, read_machine_env, read_user_data
from model.contract import COMPOSE_FILE, MACHINE_ENV

STARTING_LIMIT = timedelta(seconds=60)
"""A machine that is not ready by then is called unhealthy; it may still become ready."""


class Health(StrEnum):
    """What `status` says of a machine."""

    HEALTHY = "healthy"
    STARTING = "starting"
    UNHEALTHY = "unhealthy"
    STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True)
class MachineStatus:
    """A machine as people see it."""

    id: str
    role: str
    service: str
    zone: str
    address: str
    health: Health
    detail: str
    elastic_addresses: tuple[str, ...]


class Machine:
    """Boots when told, then looks after itself until it is stopped or killed."""

    def __init__(self, instance: Instance, context: MachineContext, *, changed: Callable[[], None]) -> None:
        self.context = context
        self._instance = instance
        self._changed = changed
        self._runners: dict[str, ServiceRunner] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._failure = ""
        self._stopped = False
        self._late = False
        self._deadline: asyncio.TimerHandle | None = None

    def boot(self) -> None:
        """Starts everything; a machine that cannot start says why in its status."""
        self._failure, self._stopped, self._late = "", False, False
        self._deadline = asyncio.get_running_loop().call_later(STARTING_LIMIT.total_seconds(), self._be_late)
        try:
            self._start_services()
        except (UserDataError, ComposeError, OSError) as error:
            self._failure = str(error)
        self._changed()

    def follow(self, instance: Instance) -> None:
        """Takes over what may change in an instance's life: its elastic addresses."""
        self._instance = instance

    async def stop(self, limit: timedelta) -> None:
        """Ends all services as a shutdown would: as Compose does, before what they depend on, each with its grace and at most `limit`."""
        await self._cancel()
        left = dict(self._runners)
        while left:
            needed = {name for runner in left.values() for name in runner.service.depends_on}
            last = [name for name in left if name not in needed] or list(left)
            await asyncio.gather(*(left.pop(name).stop(limit) for name in last))
        self._end()

    async def kill(self) -> None:
        """Ends all services as losing power would."""
        await asyncio.gather(self._cancel(), *(runner.kill() for runner in self._runners.values()))
        await asyncio.gather(*(runner.kill() for runner in self._runners.values()))
        self._end()

    def status(self) -> MachineStatus:
        """What people see now."""
        health, detail = self._health()
        return MachineStatus(
            id=self._instance.id,
            role=self._instance.role,
            service=self._instance.service,
            zone=self._instance.zone,
            address=str(self._instance.address),
            health=health,
            detail=detail,
            elastic_addresses=tuple(str(address) for address in self._instance.elastic_addresses),
        )

    def _start_services(self) -> None:
        self.context.make_directories()
        facts = InstanceFacts(
            instance_id=self._instance.id,
            address=str(IPv4Address(self._instance.private_address)),
            zone=self._instance.zone,
            region=self._instance.region,
        )
        root = self.context.root
        read_user_data(self._instance.user_data, facts).write(root)
        for file in (MACHINE_ENV, COMPOSE_FILE):
            if not (root / file.lstrip("/")).exists():
                raise UserDataError(f"user data writes no {file}: a machine of the mesh has one")
        facts_of_env = {**read_machine_env(root / MACHINE_ENV.lstrip("/")), "MESH_ROOT": str(root)}
        self.context = replace(self.context, facts=facts_of_env)
        # Compose reads its own environment as well, and there the endpoint of the cloud is.
        services = read_compose(root / COMPOSE_FILE.lstrip("/"), {**self.context.cloud, **facts_of_env})
        awaited = {
            name for service in services.values() for name, condition in service.depends_on.items() if condition is Condition.COMPLETED
        }
        self._runners = {
            name: ServiceRunner(service, self.context, gates_others=name in awaited, changed=self._changed)
            for name, service in services.items()
        }
        self._tasks = [
            asyncio.create_task(runner.run(self._runners), name=f"{self._instance.id}/{name}") for name, runner in self._runners.items()
        ]

    async def _cancel(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _end(self) -> None:
        self._runners, self._tasks, self._stopped = {}, [], True
        self._changed()

    def _be_late(self) -> None:
        self._late = True
        self._changed()

    def _health(self) -> tuple[Health, str]:
        if self._stopped:
            return Health.STOPPED, ""
        if self._failure:
            return Health.UNHEALTHY, self._failure
        by_phase = _by_phase(self._runners.values())
        failed = by_phase[Phase.FAILED]
        if failed:
            return Health.UNHEALTHY, _details(failed)
        pending = by_phase[Phase.STARTING] or by_phase[Phase.WAITING]
        if pending:
            if self._late:
                return Health.UNHEALTHY, f"not ready after {STARTING_LIMIT.total_seconds():g} s: {_details(pending)}"
            return Health.STARTING, _details(pending)
        absent = by_phase[Phase.NOT_STARTED]
        if absent and not by_phase[Phase.READY]:
            return Health.STOPPED, _details(absent)
        return Health.HEALTHY, _details(absent)


def _by_phase(runners: Iterable[ServiceRunner]) -> Mapping[Phase, list[ServiceRunner]]:
    found: dict[Phase, list[ServiceRunner]] = {phase: [] for phase in Phase}
    for runner in runners:
        found[runner.phase].append(runner)
    return found


def _details(runners: list[ServiceRunner]) -> str:
    parts = []
    for runner in runners:
        phase = "not started, " if runner.phase is Phase.NOT_STARTED else ""
        parts.append(f"{runner.service.name}: {phase}{runner.detail}" if runner.detail else f"{runner.service.name}: {runner.phase}")
    return "; ".join(parts)
