"""One Compose service of a machine: waits for what it depends on, runs, is probed, is started again."""

import asyncio
import signal
import traceback
from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import StrEnum

from local.machines.compose import ComposeService, Condition, Restart
from local.machines.context import MachineContext
from local.machines.process import LaunchError, Process, last_line
from local.machines.programs import InProcess, NotStarted, program_of
from local.machines.ready import Probe

FIRST_PAUSE = timedelta(milliseconds=100)
"""Docker's first pause before a restart; it doubles with each, and is back at the first after LONG_RUN."""
LONGEST_PAUSE = timedelta(seconds=10)
"""Docker goes on to a minute; here somebody sits and waits."""
LONG_RUN = timedelta(seconds=10)
UNIT_PAUSE = timedelta(seconds=2)
"""The boot unit's RestartSec: a machine whose preparation fails begins again."""
HEALTHY_PAUSE = timedelta(seconds=5)
UNHEALTHY_PAUSE = timedelta(milliseconds=500)
MISSES = 2
"""Failed probes after which a ready service counts as not ready."""
STARTING_PAUSES = ((5.0, 0.06), (30.0, 0.25))
"""Up to this age in seconds a starting service is asked with this pause in seconds; older ones each second."""


class Phase(StrEnum):
    """How far a service is."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    COMPLETED = "completed"
    FAILED = "failed"
    NOT_STARTED = "not started"


class ServiceRunner:
    """Runs one service until it is cancelled."""

    def __init__(self, service: ComposeService, machine: MachineContext, *, gates_others: bool, changed: Callable[[], None]) -> None:
        """`gates_others`: another service waits for this one's completion, so the boot unit repeats it until it succeeds."""
        self.service = service
        self.phase = Phase.WAITING
        self.detail = ""
        self.process: Process | None = None
        self._machine = machine
        self._gates_others = gates_others
        self._changed = changed
        self._reached = {condition: asyncio.Event() for condition in Condition}

    async def run(self, others: Mapping[str, "ServiceRunner"]) -> None:
        """Waits for the dependencies, then keeps the service running as its restart policy says."""
        for name, condition in self.service.depends_on.items():
            self._set(Phase.WAITING, f"waits for {name}")
            await others[name].reached(condition)
        pause = FIRST_PAUSE
        while True:
            began = asyncio.get_running_loop().time()
            failure = await self._run_once()
            if self.phase in (Phase.COMPLETED, Phase.NOT_STARTED) or not self._starts_again(failure):
                return
            if asyncio.get_running_loop().time() - began > LONG_RUN.total_seconds():
                pause = FIRST_PAUSE
            wait = UNIT_PAUSE if self.service.restart is Restart.NO else pause
            self._set(Phase.FAILED, f"{failure}; starts again in {wait.total_seconds():g} s")
            await asyncio.sleep(wait.total_seconds())
            pause = min(pause * 2, LONGEST_PAUSE)

    async def reached(self, condition: Condition) -> None:
        """Returns when the service has reached what a dependant wants of it."""
        await self._reached[condition].wait()

    async def stop(self, limit: timedelta) -> None:
        """Ends the program as Docker would, with a grace of at most `limit`."""
        if self.process is not None:
            await self.process.stop(min(self.service.stop_grace, limit))

    async def kill(self) -> None:
        """Ends the program at once."""
        if self.process is not None:
            await self.process.kill()

    def _set(self, phase: Phase, detail: str = "") -> None:
        if (phase, detail) != (self.phase, self.detail):
            self.phase, self.detail = phase, detail
            self._changed()

    def _starts_again(self, failure: str | None) -> bool:
        policy = self.service.restart
        if failure is not None and self._gates_others:
            return True
        return policy in (Restart.ALWAYS, Restart.UNLESS_STOPPED) or (policy is Restart.ON_FAILURE and failure is not None)

    async def _run_once(self) -> str | None:
        """Runs the program to its end; returns what went wrong, None when it ended well."""
        self._set(Phase.STARTING)
        try:
            program = await program_of(self.service, self._machine)
            if isinstance(program, NotStarted):
                self._reached[Condition.STARTED].set()
                self._set(Phase.NOT_STARTED, program.reason)
                return None
            if isinstance(program, InProcess):
                self._reached[Condition.STARTED].set()
                await program.run(lambda said: self._set(Phase.STARTING, said))
                self._complete()
                return None
            self._make_mount_sources()
            self.process = Process.spawn(
                program,
                log=self._machine.log(self.service.name),
                records=self._machine.records,
                machine=self._machine.instance_id,
                service=self.service.name,
            )
            code = await self._watch(self.process, program.ready)
        except Exception as error:  # whatever it is, this machine shows it and no other suffers
            failure = str(error) or type(error).__name__
            with self._machine.log(self.service.name).open("a") as log:
                log.write(failure + "\n" if isinstance(error, LaunchError) else traceback.format_exc())
            self._set(Phase.FAILED, failure)
            return failure
        if code == 0:
            self._complete()
            return None
        failure = self._failure(code)
        self._set(Phase.FAILED, failure)
        return failure

    def _complete(self) -> None:
        self._reached[Condition.COMPLETED].set()
        if self.service.restart in (Restart.NO, Restart.ON_FAILURE):
            self._set(Phase.COMPLETED)
        else:
            self._set(Phase.FAILED, "ended")

    async def _watch(self, process: Process, probe: Probe | None) -> int:
        self._reached[Condition.STARTED].set()
        if probe is None:
            self._reached[Condition.HEALTHY].set()
            if self.service.restart is not Restart.ON_FAILURE:  # that is a one-shot, whose end is what counts
                self._set(Phase.READY)
            return await process.wait()
        asking = asyncio.create_task(self._ask(probe))
        try:
            return await process.wait()
        finally:
            asking.cancel()

    async def _ask(self, probe: Probe) -> None:
        """Asks often while the service starts, seldom when it is ready."""
        loop = asyncio.get_running_loop()
        began, was_ready, misses = loop.time(), False, 0
        while True:
            problem = await probe.problem()
            if problem is None:
                was_ready, misses = True, 0
                self._reached[Condition.HEALTHY].set()
                self._set(Phase.READY)
                pause = HEALTHY_PAUSE.total_seconds()
            elif was_ready:
                misses += 1
                if misses >= MISSES:
                    self._set(Phase.FAILED, problem)
                pause = UNHEALTHY_PAUSE.total_seconds()
            else:
                self._set(Phase.STARTING, problem)
                age = loop.time() - began
                pause = next((pause for limit, pause in STARTING_PAUSES if age < limit), 1.0)
            await asyncio.sleep(pause)

    def _make_mount_sources(self) -> None:
        """Docker makes the directory of a bind mount that is not there."""
        for mount in self.service.mounts:
            source = self._machine.host_path(self.service, mount.target)
            if source.is_relative_to(self._machine.root):
                source.mkdir(parents=True, exist_ok=True)

    def _failure(self, code: int) -> str:
        how = f"ended with code {code}" if code > 0 else f"was killed by {signal.Signals(-code).name}"
        said = last_line(self._machine.log(self.service.name))
        return f"{how}: {said}" if said else how
