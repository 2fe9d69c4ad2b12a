"""All machines of a stack: follows the cloud's instances, boots what runs there and ends what does not."""

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path

from local.machines.context import MachineContext
from local.machines.instance import Instance, InstanceSource
from local.machines.machine import Health, Machine, MachineStatus
from local.machines.records import ProcessRecord, ProcessRecords

BOOTING = frozenset({"pending", "running"})
RESTING = frozenset({"stopping", "stopped"})
GATHER = timedelta(milliseconds=20)
"""Changes that come together are looked at together."""
LOGS_KEPT = 10
"""Ended machines whose logs are kept."""
LOG_LIMIT = 10_000_000
"""Bytes of a log before it becomes `<name>.log.1`."""
LOG_SWEEP = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True)
class HostPaths:
    """Where a stack's machines live."""

    machines: Path
    volumes: Path
    processes: Path
    """Records of running processes."""


class MachineHost:
    """Lives in one event loop, whose thread must outlive the machines: their processes end with the thread that started them."""

    def __init__(self, source: InstanceSource, paths: HostPaths, *, cloud: Callable[[str], Mapping[str, str]]) -> None:
        """`cloud` gives the environment by which AWS clients on the machines of a region find the cloud."""
        self.version = 0
        """Grows with every change that `status` shows."""
        self._source = source
        self._paths = paths
        self._cloud = cloud
        self._records = ProcessRecords(paths.processes)
        self._machines: dict[str, Machine] = {}
        self._resting: set[str] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._wake = asyncio.Event()
        self._changes = count(1)
        self._told, self._seen = 0, -1
        """The cloud's changes are counted: until the last one has been looked at, nothing is settled."""
        self._changed = asyncio.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> list[ProcessRecord]:
        """Ends what a dead supervisor left, then follows the cloud; returns what was ended."""
        leftovers = self._records.kill_leftovers(self._paths.machines)
        for directory in self._paths.machines.glob("*") if self._paths.machines.is_dir() else ():
            shutil.rmtree(directory / "root", ignore_errors=True)
        self._forget_old_logs()
        self._loop = asyncio.get_running_loop()
        self._source.subscribe(self._wake_up)
        self._wake.set()
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._rotate_logs())]
        return leftovers

    async def stop(self, limit: timedelta) -> None:
        """Ends all machines gracefully, each service with a grace of at most `limit`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*self._ending, *(machine.stop(limit) for machine in self._machines.values()), return_exceptions=True)
        for machine in self._machines.values():
            shutil.rmtree(machine.context.root, ignore_errors=True)

    def status(self) -> list[MachineStatus]:
        """The machines of instances that are not terminated, by role, service and id."""
        return sorted((machine.status() for machine in self._machines.values()), key=lambda one: (one.role, one.service, one.id))

    def settled(self) -> bool:
        """Whether all that the cloud has told is looked at, and every machine is up or stopped on purpose."""
        return self._seen == self._told and all(one.health in (Health.HEALTHY, Health.STOPPED) for one in self.status())

    def logs(self, machine: str) -> dict[str, Path]:
        """Service → log of a machine, also of one that ended lately."""
        return {path.stem: path for path in sorted((self._paths.machines / machine / "logs").glob("*.log"))}

    async def changed_since(self, version: int) -> None:
        """Returns when the status is another than at `version`."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.version != version)

    def reconcile(self, instances: Sequence[Instance]) -> None:
        """Brings the machines to what the cloud says; the work itself goes on in the background."""
        alive = {one.id: one for one in instances if one.role and one.state in BOOTING | RESTING}
        for identity in [known for known in self._machines if known not in alive]:
            self._resting.discard(identity)
            self._in_background(self._remove(self._machines.pop(identity)))
        for identity, instance in alive.items():
            machine = self._machines.get(identity)
            if machine is None:
                machine = self._machines[identity] = self._new(instance)
                machine.follow(instance)
                if instance.state in BOOTING:
                    machine.boot()
                    continue
            machine.follow(instance)
            if instance.state in RESTING and identity not in self._resting:
                self._resting.add(identity)
                self._in_background(machine.stop(timedelta(minutes=2)))
            elif instance.state in BOOTING and identity in self._resting:
                self._resting.discard(identity)
                machine.boot()

    def _new(self, instance: Instance) -> Machine:
        context = MachineContext(
            instance_id=instance.id,
            role=instance.role,
            directory=self._paths.machines / instance.id,
            volume_directory=self._paths.volumes,
            records=self._records,
            cloud=self._cloud(instance.region),
        )
        return Machine(instance, context, changed=self._notify)

    async def _remove(self, machine: Machine) -> None:
        await machine.kill()
        shutil.rmtree(machine.context.root, ignore_errors=True)
        self._forget_old_logs()

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _wake_up(self) -> None:
        """Called from any of the cloud's threads."""
        self._told = next(self._changes)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake.set)

    async def _follow(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER.total_seconds())
            self._wake.clear()
            told = self._told
            self.reconcile(await asyncio.to_thread(self._source.instances))
            self._seen = told
            self._notify()

    def _notify(self) -> None:
        self.version += 1
        self._in_background(self._tell())

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _rotate_logs(self) -> None:
        """Copies a large log away and truncates it: its writer appends, so it goes on at the beginning."""
        while True:
            await asyncio.sleep(LOG_SWEEP.total_seconds())
            for machine in self._machines.values():
                for log in self.logs(machine.context.instance_id).values():
                    if log.stat().st_size > LOG_LIMIT:
                        shutil.copyfile(log, log.with_name(f"{log.name}.1"))
                        with log.open("r+b") as file:
                            file.truncate(0)

    def _forget_old_logs(self) -> None:
        directories = [path for path in self._paths.machines.glob("*") if path.name not in self._machines]
        for directory in sorted(directories, key=lambda path: path.stat().st_mtime, reverse=True)[LOGS_KEPT:]:
            shutil.rmtree(directory, ignore_errors=True)
