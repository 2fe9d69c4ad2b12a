"""Machines without a cloud: instances that a test makes, booted by the real host in a range of their own."""

import asyncio
import gzip
import threading
from base64 import b64encode
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
import yaml

from apps.agent.claims import ATTACH_AS
from local.machines.host import HostPaths, MachineHost
from local.machines.machine import Health, MachineStatus
from local.stacks import StackState, free_range, take_range

T = TypeVar("T")
FACTS = "MESH_INSTANCE_ID={{ v1.instance_id }}\nMESH_ADDRESS={{ ds.meta_data.local_ipv4 }}\nMESH_LOOPBACK={{ ds.meta_data.local_ipv4 }}\n"
MACHINE_ENV = FACTS + "MESH_ZONE={{ v1.availability_zone }}\n"


@dataclass(frozen=True, kw_only=True)
class FakeInstance:
    id: str
    private_address: IPv4Address
    user_data: bytes
    state: str = "running"
    region: str = "eu-central-1"
    zone: str = "eu-central-1a"
    role: str = "service"
    service: str = "test"
    elastic_addresses: tuple[IPv4Address, ...] = ()
    fixed_address: IPv4Address | None = None

    @property
    def address(self) -> IPv4Address:
        return self.fixed_address or self.private_address


@dataclass
class FakeCloud:
    """Holds instances and tells the host of changes."""

    known: dict[str, FakeInstance] = field(default_factory=dict)
    callbacks: list[Callable[[], None]] = field(default_factory=list)

    def instances(self) -> list[FakeInstance]:
        return list(self.known.values())

    def subscribe(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)

    def put(self, instance: FakeInstance) -> None:
        self.known[instance.id] = instance
        for callback in self.callbacks:
            callback()

    def terminate(self, identity: str) -> None:
        del self.known[identity]
        for callback in self.callbacks:
            callback()


def user_data(services: dict[str, Any], files: dict[str, str] | None = None) -> bytes:
    """User data as components/user_data.py writes it."""
    compose = yaml.safe_dump({"name": "mesh", "services": services}, sort_keys=False)
    entries = [{"path": "/etc/mesh/machine.env", "permissions": "0644", "content": MACHINE_ENV}]
    for path, text in {"/etc/mesh/compose.yaml": compose, **(files or {})}.items():
        content = b64encode(gzip.compress(text.encode())).decode()
        entries.append({"path": path, "permissions": "0644", "encoding": "gz+b64", "content": content})
    config = yaml.safe_dump({"packages": ["docker.io"], "write_files": entries, "runcmd": [["true"]]}, width=10**9, sort_keys=False)
    return f"## template: jinja\n#cloud-config\n{config}".encode()


@dataclass
class Rig:
    """A host in a thread of its own, and the cloud that it follows."""

    cloud: FakeCloud
    host: MachineHost
    paths: HostPaths
    network: IPv4Network
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def launch(self, services: dict[str, Any], *, index: int = 10, files: dict[str, str] | None = None, **settings: Any) -> FakeInstance:
        address = self.network[256 + index]
        instance = FakeInstance(id=f"i-{index:017x}", private_address=address, user_data=user_data(services, files), **settings)
        self.cloud.put(instance)
        return instance

    def until(self, holds: Callable[[list[MachineStatus]], bool], *, seconds: float = 20) -> list[MachineStatus]:
        """Waits until the status is as wanted, without polling; fails showing the last one."""

        async def wait() -> list[MachineStatus]:
            try:
                async with asyncio.timeout(seconds):
                    while not holds(self.host.status()):
                        await self.host.changed_since(self.host.version)
            except TimeoutError:
                pytest.fail(f"after {seconds:g} s: {self.host.status()}")
            return self.host.status()

        return self.run(wait())

    def until_health(self, health: Health, *, seconds: float = 20) -> MachineStatus:
        return self.until(lambda machines: bool(machines) and all(one.health == health for one in machines), seconds=seconds)[0]

    def pids(self) -> list[int]:
        return [int(path.name) for path in self.paths.processes.glob("*")]


@dataclass
class FakeEc2:
    """EC2's API as far as the agent claims a volume by it: a volume is on one living machine at a time."""

    cloud: FakeCloud
    holders: dict[str, str] = field(default_factory=dict)

    def describe_volumes(self, *, VolumeIds: list[str]) -> dict[str, Any]:
        holder = self.holders.get(VolumeIds[0])
        return {"Volumes": [{"Attachments": [{"InstanceId": holder}] if holder in self.cloud.known else []}]}

    def attach_volume(self, *, VolumeId: str, InstanceId: str, Device: str) -> None:
        assert Device == ATTACH_AS
        self.holders[VolumeId] = InstanceId


@pytest.fixture
def ec2(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> FakeEc2:
    """What the agents of the rig's machines take for EC2."""
    fake = FakeEc2(rig.cloud)
    monkeypatch.setattr("apps.agent.claims.aws_client", lambda _service, _env: fake)
    return fake


def processes_below(directory: Path) -> list[psutil.Process]:
    """Processes that run for machines below a directory."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("MESH_ROOT", "").startswith(str(directory)):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Ends with a look at what is left running: nothing may be."""
    state = StackState(tmp_path / "state")
    network = take_range(state)
    paths = HostPaths(machines=state.machines, volumes=state.volumes, processes=state.processes)
    cloud = FakeCloud()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="machines")
    thread.start()
    host = MachineHost(cloud, paths, cloud=lambda region: {"AWS_REGION": region})
    rig = Rig(cloud=cloud, host=host, paths=paths, network=network, loop=loop)
    try:
        rig.run(host.start())
        yield rig
    finally:
        rig.run(host.stop(timedelta(seconds=3)))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        free_range(state)
    assert rig.pids() == []
    assert processes_below(tmp_path) == []
