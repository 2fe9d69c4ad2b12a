"""Load from h2load: as fast as answers come (closed loop), or at a rate of its own (open loop)."""

import asyncio
import re
import shutil
import statistics
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from local.machines.debian_package import libraries, unpacked

CONNECTIONS = 16
"""Unless a bench asks for more."""
STREAMS = 4
"""Requests at once on each connection of HTTP/2; of HTTP/1.1 it is one."""
_NAME = "h2load"
_PACKAGE = "nghttp2-client"
"""The tool, and of its libraries those that a Debian without extras lacks."""
_FINISHED = re.compile(r"finished in ([0-9.]+)(us|ms|s),")
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


class LoadFailed(RuntimeError):
    """h2load did not run to its end, or something was answered by anything but 200: what that costs would mean nothing."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """One run, all of whose requests were answered 200."""

    seconds: float
    milliseconds: tuple[float, ...]
    """Of each request, from its start to the end of its answer."""

    @property
    def per_second(self) -> float:
        return len(self.milliseconds) / self.seconds

    @cached_property
    def percentiles(self) -> list[float]:
        """The 99 cut points, in milliseconds."""
        return statistics.quantiles(self.milliseconds, n=100)


class Generator:
    """h2load: on PATH, else Debian's package unpacked into the cache."""

    def __init__(self, words: list[str], environment: Mapping[str, str], connections: int) -> None:
        self._words, self._environment, self._connections = words, environment, connections

    @classmethod
    async def found(cls, *, connections: int = CONNECTIONS) -> "Generator":
        """Raises NotToBeHad where there is none."""
        on_path = shutil.which(_NAME)
        if on_path:
            return cls([on_path], {}, connections)
        root = await unpacked(_PACKAGE, dependencies=True)
        return cls([str(root / "usr" / "bin" / _NAME)], {"LD_LIBRARY_PATH": libraries(root)}, connections)

    async def closed(self, url: str, headers: Mapping[str, str], requests: int, *, http2: bool = False) -> Load:
        """All connections ask anew as soon as they have their answer."""
        return await self._run(url, headers, ["-n", str(requests)], http2=http2)

    async def open(self, url: str, headers: Mapping[str, str], requests: int, *, rate: int, http2: bool = False) -> Load:
        """`rate` requests a second in all, however long answers take."""
        return await self._run(url, headers, ["-n", str(requests), f"--rps={rate / self._connections}"], http2=http2)

    async def _run(self, url: str, headers: Mapping[str, str], words: list[str], *, http2: bool) -> Load:
        words = [*self._words, "-c", str(self._connections), "-m", str(STREAMS if http2 else 1), *([] if http2 else ["--h1"]), *words]
        words += [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
        with tempfile.TemporaryDirectory(prefix="envoy-mesh-bench-") as directory:
            log = Path(directory) / "log"
            pipe, environment = asyncio.subprocess.PIPE, dict(self._environment)
            process = await asyncio.create_subprocess_exec(
                *words, f"--log-file={log}", url, env=environment, stdout=pipe, stderr=asyncio.subprocess.STDOUT
            )
            try:
                output = (await process.communicate())[0].decode(errors="replace")
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            finished = _FINISHED.search(output)
            if process.returncode != 0 or not finished:
                raise LoadFailed(f"h2load {url} ended with {process.returncode}: {output.strip()[-400:]}")
            rows = [line.split("\t") for line in log.read_text().splitlines()]
        statuses = Counter(row[1] for row in rows)
        if set(statuses) != {"200"}:
            raise LoadFailed(f"{url} gave not only 200, where -1 is no answer at all: {dict(statuses)}")
        return Load(seconds=float(finished[1]) * _UNITS[finished[2]], milliseconds=tuple(int(row[2]) / 1000 for row in rows))
