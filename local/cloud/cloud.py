"""A cloud of one stack in this process: its API's URL, what it holds, and who is told when that changes."""

import contextlib
import threading
import urllib.request
from collections.abc import Callable
from ipaddress import IPv4Network

from local.cloud import account, clock, gaps, patching, state
from local.cloud.moto_import import import_moto
from local.cloud.server import Gate, Server
from local.cloud.state import ElasticAddress, MachineInstance

_WARMING = {
    "ec2": "Action=DescribeInstances&Version=2016-11-15",
    "autoscaling": "Action=DescribeAutoScalingGroups&Version=2011-01-01",
    "iam": "Action=ListInstanceProfiles&Version=2010-05-08",
    "s3": "",
}


class Cloud:
    """Serves the AWS APIs of all regions on a free port of 127.0.0.1; every start begins with an empty account.

    moto keeps its state in module globals, so a process runs one cloud at a time. Any credentials are accepted.
    Scaling policies are stored but never act: nothing measures load here.
    """

    _running: "Cloud | None" = None

    def __init__(self, region: str, cidr: IPv4Network) -> None:
        """`region` is the one that most is asked of; `cidr` holds the ranges of all VPCs, and the elastic addresses."""
        self._region = region
        self._cidr = cidr
        self._subscribers: list[Callable[[], None]] = []
        self._gate: Gate | None = None
        self._server: Server | None = None

    def start(self) -> None:
        """Serves when it returns; what the first EC2 call needs is loaded in the background."""
        if Cloud._running is not None:
            raise RuntimeError(f"a local cloud runs in this process already at {Cloud._running.url}; stop it before another is started")
        import_moto(self._region)
        gaps.install(self._cidr)
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        _forget()
        self._gate = Gate(DomainDispatcherApplication(create_backend_app), self._changed)
        clock.start(self._gate.run)
        self._server = Server(self._gate)
        Cloud._running = self
        threading.Thread(target=self._warm, args=(self._server.url,), name="local-cloud-warm", daemon=True).start()

    def stop(self) -> None:
        """Ends the server and forgets all resources."""
        if self._server is None:
            return
        self._server.stop()
        clock.stop()
        self._server = self._gate = None
        _forget()
        patching.restore()
        Cloud._running = None

    @property
    def url(self) -> str:
        """What AWS_ENDPOINT_URL is for clients of this cloud."""
        if self._server is None:
            raise RuntimeError("the local cloud is not started; call start() first")
        return self._server.url

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Calls `callback` from any thread whenever instances, groups or addresses may have changed; it must return at once."""
        self._subscribers.append(callback)

    def instances(self) -> list[MachineInstance]:
        """All instances of all regions, also those terminated in the last two minutes."""
        with self._locked():
            return [
                found
                for region, ec2 in account.backends("ec2").items()
                for found in state.instances(ec2, account.backend("autoscaling", region))
            ]

    def elastic_addresses(self) -> list[ElasticAddress]:
        with self._locked():
            return [found for ec2 in account.backends("ec2").values() for found in state.elastic_addresses(ec2)]

    def _locked(self) -> threading.RLock:
        if self._gate is None:
            raise RuntimeError("the local cloud is not started; call start() first")
        return self._gate.lock

    def _changed(self) -> None:
        for callback in list(self._subscribers):
            callback()

    def _warm(self, url: str) -> None:
        """Asks the services of every `up` one question each, so that moto's and botocore's models are there when they are needed."""
        for service, query in _WARMING.items():
            scope = f"AWS4-HMAC-SHA256 Credential=local/20250101/{self._region}/{service}/aws4_request"
            request = urllib.request.Request(url, query.encode() if query else None, {"Authorization": scope})
            with contextlib.suppress(OSError):
                urllib.request.urlopen(request).close()


def _forget() -> None:
    """Empties all accounts; what moto's own reset makes anew of one service while it empties the next goes too."""
    from moto.core.base_backend import BackendDict

    known = list(BackendDict._instances)
    BackendDict.reset()
    for backend in known:
        backend.clear()
