"""The machine agent (`python -m apps.agent <task>`) done inside the supervisor, and what EC2 does for it but this host does not."""

import asyncio
from collections.abc import Callable, Sequence

from local.machines.compose import ComposeService
from local.machines.context import MachineContext
from local.machines.ready import Probe
from model.contract import METRICS_PORT

MODULE = "apps.agent"
TASKS = ("prepare", "associate")
PAUSE_SECONDS = 0.1
CLAIM_PAUSE_SECONDS = 0.25


def task_of(words: Sequence[str]) -> str | None:
    """The agent's task that a command line names, None for any other program."""
    if len(words) == 4 and words[0] in ("python", "python3") and words[1:3] == ["-m", MODULE] and words[3] in TASKS:
        return words[3]
    return None


async def run(task: str, service: ComposeService, machine: MachineContext, say: Callable[[str], None]) -> None:
    """Does a task in a thread; what it waits for is awaited here first, so that a machine's end leaves no waiting thread."""
    from apps.agent.associate import associate
    from apps.agent.claims import claims
    from apps.agent.config import read_config
    from apps.agent.prepare import prepare

    environment = machine.process_environment(service)
    config = read_config(environment)
    if task == "associate":
        probe = Probe.parse(f"http://{environment['MESH_ADDRESS']}:{METRICS_PORT}/ready")
        while (problem := await probe.problem()) is not None:
            say(f"waits for Envoy: {problem}")
            await asyncio.sleep(PAUSE_SECONDS)
        await asyncio.to_thread(associate, config, environment)
        return
    for claim in claims(config, environment):
        while (problem := await asyncio.to_thread(claim.attempt)) is not None:
            say(f"waits for {claim.what}: {problem}")
            await asyncio.sleep(CLAIM_PAUSE_SECONDS)
    if config.volume is not None:
        bind_volume(machine, label=config.volume.label, mount=config.volume.mount)
    # What is done above is left out. Every process here has the same user, so files are handed to nobody.
    rest = config.model_copy(update={"address": None, "volume": None, "owner": None})
    await asyncio.to_thread(prepare, rest, environment)


def bind_volume(machine: MachineContext, *, label: str, mount: str) -> None:
    """Stands in for format and mount: the volume's directory appears at its mount point.

    The directory goes by role and file system label, not by volume id: a new cloud gives new ids to the same data.
    """
    directory = machine.volume_directory / f"{machine.role}-{label}"
    directory.mkdir(parents=True, exist_ok=True)
    point = machine.root / mount.lstrip("/")
    point.parent.mkdir(parents=True, exist_ok=True)
    if point.is_symlink():
        return
    if point.is_dir():
        point.rmdir()
    point.symlink_to(directory)
