"""The servers of the bench of pushes: our own, and go-control-plane's two caches, which are built from `go_control_plane`."""

import asyncio
import base64
import gc
import hashlib
import os
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import psutil
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryResponse

from apps.control_plane.server import AdsServer
from bench.xds_world import World
from local.machines.debian_package import NotToBeHad
from local.tool_cache import cache_directory

HOST = "127.0.0.1"
SOURCES = Path(__file__).parent / "go_control_plane"
_NAME = "contender"


class Server(Protocol):
    """Serves a world to its clients, all of them the same."""

    async def start(self, world: World) -> int:
        """Returns the port on loopback."""
        ...

    async def change(self, turn: int) -> None:
        """Changes one endpoint of the world, which everybody is to hear of."""
        ...

    async def cpu_seconds(self) -> float:
        """Of the server's process, so far."""
        ...

    @property
    def process(self) -> psutil.Process: ...

    async def stop(self) -> None: ...


class OwnServer:
    """In this process, which meanwhile does nothing else."""

    def __init__(self) -> None:
        self._server = AdsServer()
        self.process = psutil.Process()

    async def start(self, world: World) -> int:
        self._world = world
        port = await self._server.start(HOST, 0, None, world, lambda node, identity: None)
        gc.collect()
        gc.freeze()
        return port

    async def change(self, turn: int) -> None:
        self._world.change(turn)

    async def cpu_seconds(self) -> float:
        return time.process_time()

    async def stop(self) -> None:
        await self._server.stop(timedelta(seconds=1))
        gc.unfreeze()


class GoServer:
    """`cache` is `snapshot` or `linear`, as in the program's words."""

    def __init__(self, program: Path, cache: str, directory: Path) -> None:
        self._words = [str(program), "-listen", f"{HOST}:0", "-cache", cache]
        self._file = directory / f"{cache}.resources"

    async def start(self, world: World) -> int:
        self._world = world
        self._file.write_bytes(DiscoveryResponse(resources=world.packed()).SerializeToString())
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(*self._words, "-resources", str(self._file), stdin=pipe, stdout=pipe)
        self.process = psutil.Process(self._process.pid)
        return await self._number()

    async def change(self, turn: int) -> None:
        changed = self._world.change(turn)
        await self._say(f"change {base64.b64encode(changed.payload).decode()}")

    async def cpu_seconds(self) -> float:
        await self._say("cpu")
        return await self._number() / 1e6

    async def stop(self) -> None:
        self._process.kill()
        await self._process.wait()

    async def _say(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    async def _number(self) -> int:
        assert self._process.stdout
        return int(await self._process.stdout.readline())


async def go_program() -> Path:
    """The Go program, built when it is not yet in the cache; takes a minute then. Raises NotToBeHad without Go or modules."""
    content = b"".join(path.read_bytes() for path in sorted(SOURCES.iterdir()))
    made = cache_directory() / "go-control-plane" / hashlib.sha256(content).hexdigest()[:16] / _NAME
    if made.exists():
        return made
    go = shutil.which("go")
    if go is None:
        raise NotToBeHad("go is not on PATH, and go-control-plane is built by it; install Go 1.26 or newer")
    made.parent.mkdir(parents=True, exist_ok=True)
    fresh = made.with_name(f"{_NAME}.{os.getpid()}")
    words = [go, "build", "-mod=readonly", "-trimpath", "-o", str(fresh), "."]
    building = await asyncio.create_subprocess_exec(*words, cwd=SOURCES, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    output, _ = await building.communicate()
    if building.returncode != 0:
        raise NotToBeHad(f"go-control-plane could not be built: {output.decode(errors='replace').strip()[-400:]}")
    return fresh.rename(made)
