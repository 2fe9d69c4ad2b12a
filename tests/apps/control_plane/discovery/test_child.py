"""The real child process against a moto server: what it tells, and that it ends with its parent."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Network
from typing import Any, TypeVar

import psutil
import pytest
from moto.autoscaling.models import autoscaling_backends
from moto.autoscaling.responses import AutoScalingResponse
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.responses import EmptyResult

from apps.control_plane.discovery.child import ChildDiscovery, command_of
from apps.control_plane.discovery.reports import (
    DeedReport,
    DocumentReport,
    EdgeTlsReport,
    EndpointsReport,
    FaultReport,
    Report,
    SweepReport,
)
from model import contract

pytestmark = pytest.mark.components
OWN = contract.edge_tls_path("t")
Kind = TypeVar("Kind")


@dataclass(frozen=True, kw_only=True)
class Settings:
    stack: str = "t"
    bucket: str = "mesh-t"
    instance_id: str = "i-self"
    sweep_seconds: float = 0.3
    document_seconds: float = 0.2
    drain_seconds: float = 1.0


class Heard:
    """What a child has told so far."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.restarts = 0

    def all(self, kind: type[Kind]) -> list[Kind]:
        return [report for report in self.reports if isinstance(report, kind)]

    async def until(self, what: Callable[[], bool], seconds: float = 10) -> float:
        """Waits until something holds; returns how long it took."""
        begun = time.monotonic()
        while not what():
            assert time.monotonic() - begun < seconds, f"not seen in {seconds} s: {self.reports}"
            await asyncio.sleep(0.02)
        return time.monotonic() - begun

    def addresses(self) -> int:
        reports = self.all(EndpointsReport)
        return len(reports[-1].endpoints) if reports else -1

    def draining(self) -> int:
        reports = self.all(EndpointsReport)
        return sum(item.draining for item in reports[-1].endpoints) if reports else -1


@pytest.fixture
def environment(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stack.environment.items():
        monkeypatch.setenv(name, value)


@asynccontextmanager
async def listening(**settings: Any) -> AsyncIterator[Heard]:
    heard = Heard()

    def restarted() -> None:
        heard.restarts += 1

    child = ChildDiscovery(command_of(Settings(**settings)), restarted=restarted)
    task = asyncio.create_task(child.run(heard.reports.append))
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def children() -> list[psutil.Process]:
    return [item for item in psutil.Process().children() if any("discovery.aws" in word for word in item.cmdline())]


def test_machines_document_and_certificate_arrive_and_change(stack: Any, environment: None) -> None:
    async def scenario() -> None:
        stack.run("edge", "edge")
        ended, _ = stack.run("service", "web", 2)
        stack.write_document('{"mesh": {}}')
        async with listening() as heard:
            await heard.until(lambda: heard.addresses() == 3)
            await heard.until(lambda: len(heard.all(DocumentReport)) == 1)
            await heard.until(lambda: any(fault.code == "ParameterNotFound" for fault in heard.all(FaultReport)))
            stack.terminate(ended)
            took = await heard.until(lambda: heard.addresses() == 2)
            assert took < 2
            stack.write_document('{"schema": 1}')
            took = await heard.until(lambda: len(heard.all(DocumentReport)) == 2)
            assert took < 1
            assert heard.all(DocumentReport)[-1].text == '{"schema": 1}'
            stack.write_edge_tls("chain", "key")
            await heard.until(lambda: heard.all(EdgeTlsReport) == [EdgeTlsReport(path=OWN, chain="chain", key="key")])
            sweeps = heard.all(SweepReport)
            await heard.until(lambda: len(heard.all(SweepReport)) >= len(sweeps) + 3)
            assert len(heard.all(EndpointsReport)) == 2
            assert len(heard.all(DocumentReport)) == 2
        assert not children()

    asyncio.run(scenario())


def test_the_certificates_that_the_document_names_arrive_at_once_and_again_when_they_are_renewed(stack: Any, environment: None) -> None:
    def write(path: str, value: str) -> None:
        for name in contract.certificate_parameters(path):
            stack.ssm.put_parameter(Name=name, Value=f"{value} {name}", Type="SecureString", Overwrite=True)

    def pair(path: str, value: str) -> EdgeTlsReport:
        chain, key = (f"{value} {name}" for name in contract.certificate_parameters(path))
        return EdgeTlsReport(path=path, chain=chain, key=key)

    async def scenario() -> None:
        stack.run("edge", "edge")
        for path in ("/team/edge", "/team/shop", OWN):
            write(path, "old")
        tls: dict[str, Any] = {"mode": "secret", "secret": "/team/edge"}
        stack.write_document(json.dumps({"mesh": {"edge": {"tls": tls}}}))
        async with listening() as heard:
            await heard.until(lambda: heard.all(EdgeTlsReport) == [pair("/team/edge", "old")])
            tls["certificates"] = [{"domains": ["shop.example.com"], "secret": "/team/shop"}]
            stack.write_document(json.dumps({"mesh": {"edge": {"tls": tls}}}))
            took = await heard.until(lambda: heard.all(EdgeTlsReport)[1:] == [pair("/team/shop", "old")])
            assert took < 2
            stack.write_document("no document")
            write("/team/edge", "new")
            await heard.until(lambda: heard.all(EdgeTlsReport)[2:] == [pair("/team/edge", "new")], 15)

    asyncio.run(scenario())


def test_machines_of_the_regions_that_the_document_names_take_part_and_their_hooks_are_completed(
    stack: Any, environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    completed: list[str] = []

    def complete(response: Any) -> EmptyResult:
        completed.append(response.region)
        return EmptyResult()

    monkeypatch.setattr(AutoScalingResponse, "complete_lifecycle_action", complete, raising=False)

    async def scenario() -> None:
        stack.run("edge", "edge")
        stack.group("us-east-1", 1, role="outer-edge", region="us-east-1")
        stack.write_document(json.dumps({"mesh": {"edge": {"outer": [{"region": "us-east-1"}]}}}))
        async with listening() as heard:
            await heard.until(lambda: heard.addresses() == 2)
            assert {item.role for item in heard.all(EndpointsReport)[-1].endpoints} == {"edge", "outer-edge"}
            group = autoscaling_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].autoscaling_groups["us-east-1"]
            group.instance_states[0].lifecycle_state = "Terminating:Wait"
            await heard.until(lambda: heard.draining() == 1)
            await heard.until(lambda: len(heard.all(DeedReport)) == 1)
            assert completed == ["us-east-1"]
            stack.write_document(json.dumps({"mesh": {"edge": {}}}))
            await heard.until(lambda: heard.addresses() == 1)
            assert heard.restarts == 0

    asyncio.run(scenario())


def test_an_authority_that_does_not_answer_is_a_fault_and_all_else_goes_on(stack: Any, environment: None) -> None:
    acme = {"email": "ops@example.com", "directory": "https://127.0.0.1:1/directory", "domains": ["www.example.com"]}

    async def scenario() -> None:
        stack.run("edge", "edge")
        stack.write_document(json.dumps({"mesh": {"edge": {"tls": {"mode": "acme", "acme": acme}}}}))
        async with listening() as heard:
            await heard.until(lambda: any(fault.api == "acme:order" for fault in heard.all(FaultReport)), 20)
            sweeps = len(heard.all(SweepReport))
            await heard.until(lambda: len(heard.all(SweepReport)) > sweeps + 2)
            assert heard.restarts == 0

    asyncio.run(scenario())


def test_a_drain_is_told_before_its_action_is_completed(stack: Any, environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    completed: list[tuple[float, str]] = []

    def complete(response: Any) -> EmptyResult:
        completed.append((time.monotonic(), response._get_param("LifecycleHookName")))
        return EmptyResult()

    monkeypatch.setattr(AutoScalingResponse, "complete_lifecycle_action", complete, raising=False)

    async def scenario() -> None:
        stack.group("web", 2)
        async with listening() as heard:
            await heard.until(lambda: heard.addresses() == 2)
            group = autoscaling_backends[DEFAULT_ACCOUNT_ID]["eu-central-1"].autoscaling_groups["web"]
            group.instance_states[0].lifecycle_state = "Terminating:Wait"
            await heard.until(lambda: heard.draining() == 1)
            told = time.monotonic()
            await heard.until(lambda: len(heard.all(DeedReport)) == 1)
            assert [hook for _, hook in completed] == ["drain"]
            assert 0.9 < completed[0][0] - told < 2
            await asyncio.sleep(1)
            assert len(completed) == 1

    asyncio.run(scenario())


def test_a_launching_machine_takes_part_once_it_answers_ready(
    stack: Any, environment: None, loopback: IPv4Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AutoScalingResponse, "complete_lifecycle_action", lambda _: EmptyResult(), raising=False)
    ready = threading.Event()

    class Machine(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if ready.is_set() else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    async def scenario() -> None:
        stack.run("edge", "edge")
        stack.group("web", 1)
        member = autoscaling_backends[DEFAULT_ACCOUNT_ID]["eu-central-1"].autoscaling_groups["web"].instance_states[0]
        member.lifecycle_state = "Pending:Wait"
        address = str(loopback[4])
        member.instance.nics[0].private_ip_address = address
        server = ThreadingHTTPServer((address, contract.METRICS_PORT), Machine)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            async with listening(sweep_seconds=3) as heard:
                await heard.until(lambda: heard.addresses() == 1)
                assert not heard.all(DeedReport)
                ready.set()
                took = await heard.until(lambda: heard.addresses() == 2)
                assert took < 1
                await heard.until(lambda: [deed.hook for deed in heard.all(DeedReport)] == ["ready"])
        finally:
            server.shutdown()
            server.server_close()

    asyncio.run(scenario())


def test_a_killed_child_is_started_anew_and_tells_everything_again(stack: Any, environment: None) -> None:
    async def scenario() -> None:
        stack.run("edge", "edge")
        async with listening() as heard:
            await heard.until(lambda: heard.addresses() == 1)
            children()[0].send_signal(signal.SIGKILL)
            await heard.until(lambda: len(heard.all(EndpointsReport)) == 2)
            assert heard.restarts == 1

    asyncio.run(scenario())


def test_a_silent_child_is_ended_and_started_anew() -> None:
    async def scenario() -> None:
        restarted = asyncio.Event()
        child = ChildDiscovery([sys.executable, "-c", "import time; time.sleep(60)"], restarted=restarted.set, silence=0.2)
        task = asyncio.create_task(child.run(lambda _: None))
        await asyncio.wait_for(restarted.wait(), 10)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scenario())


def test_the_child_ends_when_its_parent_was_killed(stack: Any, environment: None) -> None:
    read_end, write_end = os.pipe()
    child = subprocess.Popen(command_of(Settings()), stdin=read_end, stdout=subprocess.PIPE)
    os.close(read_end)
    assert child.stdout is not None
    child.stdout.readline()
    os.close(write_end)
    assert child.wait(5) == 0
    child.stdout.close()
