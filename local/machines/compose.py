"""A machine's Compose file as typed services; what the process runtime cannot carry out is refused by name."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from local.machines.interpolation import InterpolationError, interpolate_tree

DEFAULT_GRACE = timedelta(seconds=10)
"""Docker's time between SIGTERM and SIGKILL."""

UNDERSTOOD = frozenset(
    {"image", "command", "entrypoint", "environment", "env_file", "depends_on", "labels", "stop_grace_period", "stop_signal", "restart"}
    | {"volumes", "network_mode"}
)
WITHOUT_LOCAL_EFFECT = frozenset(
    {"cap_add", "cap_drop", "container_name", "cpus", "devices", "healthcheck", "init", "logging", "mem_limit", "oom_score_adj"}
    | {"pids_limit", "privileged", "pull_policy", "read_only", "security_opt", "shm_size", "sysctls", "tmpfs", "ulimits", "user"}
)
"""Limits and confinement of containers: a process of the same program works without them."""
TOP_LEVEL = frozenset({"name", "services", "version", "volumes"})


class ComposeError(ValueError):
    """A Compose file that the process runtime cannot carry out; the message names the place."""


class Condition(StrEnum):
    """What a dependency must have reached."""

    STARTED = "service_started"
    HEALTHY = "service_healthy"
    COMPLETED = "service_completed_successfully"


class Restart(StrEnum):
    """Docker's restart policies."""

    NO = "no"
    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    UNLESS_STOPPED = "unless-stopped"


@dataclass(frozen=True, kw_only=True)
class EnvFile:
    """A file of NAME=value lines, read when the service starts."""

    path: str
    required: bool = True


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A bind mount: a host path seen at another path inside the container."""

    source: str
    target: str


@dataclass(frozen=True, kw_only=True)
class ComposeService:
    """One service of the file, interpolated."""

    name: str
    image: str
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    env_files: tuple[EnvFile, ...] = ()
    depends_on: Mapping[str, Condition] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    restart: Restart = Restart.NO
    stop_grace: timedelta = DEFAULT_GRACE
    stop_signal: str = "SIGTERM"

    @property
    def repository(self) -> str:
        """The image's repository without tag and digest."""
        name = self.image.partition("@")[0]
        head, colon, tag = name.rpartition(":")
        return head if colon and "/" not in tag else name


def read_compose(path: Path, variables: Mapping[str, str]) -> dict[str, ComposeService]:
    """Reads a Compose file with its variables replaced; services in the order in which they may start."""
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ComposeError(f"{path.name} cannot be read: {error}") from error
    return parse_compose(document, variables)


def parse_compose(document: object, variables: Mapping[str, str]) -> dict[str, ComposeService]:
    """Types a Compose document; raises ComposeError for anything that would be done differently from Docker."""
    if not isinstance(document, dict) or not isinstance(document.get("services"), dict) or not document["services"]:
        raise ComposeError("compose: there is no service in it")
    _refuse_unknown("compose", document, TOP_LEVEL)
    try:
        tree = interpolate_tree(document["services"], variables, place="services")
    except InterpolationError as error:
        raise ComposeError(str(error)) from error
    if not isinstance(tree, dict):
        raise ComposeError("compose: services is no mapping")
    services = {name: _service(str(name), value) for name, value in tree.items()}
    return _in_start_order(services)


def _refuse_unknown(place: str, mapping: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = sorted(key for key in mapping if key not in known and not str(key).startswith("x-"))
    if unknown:
        raise ComposeError(f"{place}: the process runtime does not carry out {', '.join(unknown)}; remove it, or teach it (local/machines)")


def _service(name: str, value: object) -> ComposeService:
    place = f"services.{name}"
    if not isinstance(value, dict):
        raise ComposeError(f"{place}: a service is a mapping")
    _refuse_unknown(place, value, UNDERSTOOD | WITHOUT_LOCAL_EFFECT)
    if not isinstance(value.get("image"), str):
        raise ComposeError(f"{place}: image is missing")
    if value.get("network_mode", "host") != "host":
        raise ComposeError(f"{place}.network_mode is {value['network_mode']!r}; machines run their containers on the host network: host")
    restart = str(value.get("restart") or "no").partition(":")[0]
    if restart not in set(Restart) or (value.get("restart") is False and restart != "no"):
        raise ComposeError(f"{place}.restart is {restart!r}; it is one of {', '.join(Restart)}")
    return ComposeService(
        name=name,
        image=value["image"],
        command=_words(value.get("command")),
        entrypoint=_words(value.get("entrypoint")),
        environment=_pairs(value.get("environment"), f"{place}.environment"),
        env_files=tuple(_env_file(item, place) for item in _as_list(value.get("env_file"))),
        depends_on=_depends_on(value.get("depends_on"), place),
        labels=_pairs(value.get("labels"), f"{place}.labels"),
        mounts=tuple(_mount(item, place) for item in _as_list(value.get("volumes"))),
        restart=Restart(restart),
        stop_grace=_duration(value.get("stop_grace_period"), f"{place}.stop_grace_period") or DEFAULT_GRACE,
        stop_signal=str(value.get("stop_signal") or "SIGTERM"),
    )


def _as_list(value: object) -> list[object]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _words(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(shlex.split(value))
    return tuple(_text(word) for word in _as_list(value))


def _pairs(value: object, place: str) -> dict[str, str]:
    if isinstance(value, dict):
        return {str(key): "" if item is None else _text(item) for key, item in value.items()}
    pairs: dict[str, str] = {}
    for item in _as_list(value):
        key, equals, text = str(item).partition("=")
        if not equals:
            raise ComposeError(f"{place}: {item!r} takes its value from the host's environment; write NAME=value")
        pairs[key] = text
    return pairs


def _env_file(item: object, place: str) -> EnvFile:
    if isinstance(item, dict):
        return EnvFile(path=str(item["path"]), required=item.get("required") is not False)
    return EnvFile(path=str(item))


def _depends_on(value: object, place: str) -> dict[str, Condition]:
    if not isinstance(value, dict):
        return {str(name): Condition.STARTED for name in _as_list(value)}
    conditions: dict[str, Condition] = {}
    for name, item in value.items():
        condition = item.get("condition", Condition.STARTED) if isinstance(item, dict) else Condition.STARTED
        if condition not in set(Condition):
            raise ComposeError(f"{place}.depends_on.{name}: condition {condition!r} is not one of {', '.join(Condition)}")
        conditions[str(name)] = Condition(condition)
    return conditions


def _mount(item: object, place: str) -> Mount:
    if isinstance(item, dict):
        kind, source, target = item.get("type", "bind"), str(item.get("source", "")), str(item.get("target", ""))
    else:
        kind = "bind"
        source, _, rest = str(item).partition(":")
        target = rest.partition(":")[0]
    if kind != "bind" or not source.startswith("/") or not target.startswith("/"):
        raise ComposeError(f"{place}.volumes: {item!r} does not bind an absolute path to another; named volumes are not to be had")
    return Mount(source=source, target=target)


def _duration(value: object, place: str) -> timedelta | None:
    if value is None:
        return None
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 0.000001}
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|us|h|m|s)", str(value))
    if not parts or "".join(number + unit for number, unit in parts) != str(value):
        raise ComposeError(f"{place}: {value!r} is not a duration like 10s or 1m30s")
    return timedelta(seconds=sum(float(number) * units[unit] for number, unit in parts))


def _in_start_order(services: dict[str, ComposeService]) -> dict[str, ComposeService]:
    for service in services.values():
        for name in service.depends_on:
            if name not in services:
                raise ComposeError(f"services.{service.name}.depends_on: there is no service {name!r}; there are {', '.join(services)}")
    ordered: dict[str, ComposeService] = {}
    while len(ordered) < len(services):
        ready = [s for s in services.values() if s.name not in ordered and all(name in ordered for name in s.depends_on)]
        if not ready:
            circle = ", ".join(name for name in services if name not in ordered)
            raise ComposeError(f"compose: depends_on goes in a circle among {circle}")
        ordered.update({service.name: service for service in ready})
    return ordered
