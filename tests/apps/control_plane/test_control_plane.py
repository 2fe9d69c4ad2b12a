"""The joined control plane, asked by grpcio's ADS client; discovery is the test's own."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import grpc
import httpx
import pytest
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from google.rpc.status_pb2 import Status
from prometheus_client import CollectorRegistry

from apps.control_plane import type_urls, world_keeper
from apps.control_plane.authorization import everyone
from apps.control_plane.control_plane import ControlPlane
from apps.control_plane.discovery.reports import DocumentReport, EndpointsReport, Publish, Report
from apps.control_plane.document_trial import TRIAL_SECONDS
from apps.control_plane.metrics import Metrics
from model.contract import document_version

ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"


class Told:
    """A `Discovery` that says what the test says."""

    def __init__(self) -> None:
        self.publish: Publish = lambda _: None
        self.started = asyncio.Event()

    async def run(self, publish: Publish) -> None:
        self.publish = publish
        self.started.set()
        await asyncio.Event().wait()


class Broken:
    """A `Discovery` that fails."""

    async def run(self, publish: Publish) -> None:
        raise RuntimeError("discovery broke")


@dataclass
class Running:
    """A running control plane and how to reach it."""

    tell: Callable[[Report], None]
    console: httpx.AsyncClient
    xds: str


@asynccontextmanager
async def running() -> AsyncIterator[Running]:
    told, stop = Told(), asyncio.Event()
    control_plane = ControlPlane(stack="t", discovery=told, authorize=everyone, metrics=Metrics(registry=CollectorRegistry()))
    task = asyncio.create_task(control_plane.run("127.0.0.1", xds_port=0, console_port=0, tls=None, stop=stop))
    await asyncio.wait_for(told.started.wait(), 10)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{control_plane.console_port}") as console:
        yield Running(told.publish, console, f"127.0.0.1:{control_plane.xds_port}")
    stop.set()
    await asyncio.wait_for(task, 10)


class Proxy:
    """An ADS stream that holds clusters, and accepts or refuses what it is sent."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._last = DiscoveryResponse()

    async def ask(self, *, refuse: str = "") -> None:
        request = DiscoveryRequest(type_url=type_urls.CLUSTER, response_nonce=self._last.nonce)
        request.node.id = "service/front/i-1"
        facts = {"address": "127.20.0.2", "loopback": "127.20.0.2", "zone": "a"}
        request.node.metadata.update({"mesh": facts})
        if refuse:
            request.error_detail.CopyFrom(Status(code=13, message=refuse))
        else:
            request.version_info = self._last.version_info
        await self._stream.write(request)

    async def clusters(self) -> list[str]:
        """Which of the callees' clusters the next response brings."""
        self._last = await asyncio.wait_for(self._stream.read(), 10)
        return [name for name in ("back", "more") if any(name.encode() in item.value for item in self._last.resources)]


@asynccontextmanager
async def proxy(address: str) -> AsyncIterator[Proxy]:
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.stream_stream(
            ADS, request_serializer=DiscoveryRequest.SerializeToString, response_deserializer=DiscoveryResponse.FromString
        )
        yield Proxy(call())


def document(*calls: str) -> DocumentReport:
    image = {"build": "apps/http_service"}
    services = {name: {"image": image, "port": 8080} for name in ("back", "more")} | {
        "front": {"image": image, "port": 8080, "calls": list(calls)}
    }
    mesh = {"domain": "t.internal", "network": {"cidr": "127.20.0.0/16"}, "services": services}
    return DocumentReport(text=json.dumps({"schema": 1, "stack": "t", "mesh": mesh}))


def test_it_is_ready_once_a_document_and_the_machines_are_known() -> None:
    async def scenario() -> None:
        async with running() as mesh:
            assert (await mesh.console.get("/ready")).text == "waits for the first mesh document\n"
            mesh.tell(document())
            answer = await mesh.console.get("/ready")
            assert (answer.status_code, answer.text) == (503, "waits for the first machines\n")
            mesh.tell(EndpointsReport(endpoints=()))
            assert (await mesh.console.get("/ready")).status_code == 200

    asyncio.run(scenario())


def test_a_proxy_that_comes_first_is_served_when_there_is_a_world() -> None:
    async def scenario() -> None:
        async with running() as mesh, proxy(mesh.xds) as front:
            await front.ask()
            mesh.tell(document("back"))
            mesh.tell(EndpointsReport(endpoints=()))
            assert await front.clusters() == ["back"]
            await front.ask()
            mesh.tell(document("back", "more"))
            assert await front.clusters() == ["back", "more"]
            await front.ask()
            await asyncio.sleep(0.1)
            said = (await mesh.console.get("/nodes")).json()
            (node,), newest = said["nodes"], document_version(document("back", "more").text)
            assert said["document"] == {"newest": newest, "serving": newest, "refusal": "", "waits_for": [], "behind": {}}
            assert (node["id"], node["api"]) == ("service/front/i-1", "sotw")
            status = node["types"]["Cluster"]
            assert status["acked"] == status["sent"] != ""
            metrics = (await mesh.console.get("/metrics")).text
            assert 'mesh_xds_acks_total{type="Cluster"} 2.0' in metrics

    asyncio.run(scenario())


def test_a_refused_document_gives_way_to_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(world_keeper, "time", SimpleNamespace(monotonic=lambda: now))

    async def scenario() -> None:
        nonlocal now
        async with running() as mesh, proxy(mesh.xds) as front:
            mesh.tell(EndpointsReport(endpoints=()))
            mesh.tell(document("back"))
            await front.ask()
            assert await front.clusters() == ["back"]
            await front.ask()
            now = TRIAL_SECONDS + 1
            mesh.tell(document("back", "more"))
            assert await front.clusters() == ["back", "more"]
            await front.ask(refuse="no such thing")
            assert await front.clusters() == ["back"]
            said = (await mesh.console.get("/nodes")).json()["document"]
            assert said["waits_for"] == ["service/front/i-1"]
            assert said["serving"] == document_version(document("back").text)
            assert (said["newest"], said["refusal"]) == (
                document_version(document("back", "more").text),
                "service/front/i-1 refuses Cluster: no such thing",
            )
            await front.ask()
            metrics = (await mesh.console.get("/metrics")).text
            assert 'mesh_xds_nacks_total{node="service/front/i-1",type="Cluster"} 1.0' in metrics
            assert "mesh_control_plane_document_refused 1.0" in metrics

    asyncio.run(scenario())


def test_a_proxy_that_refuses_the_first_document_is_said_to_be_behind_with_its_reason() -> None:
    """There is no earlier document to return to."""

    async def scenario() -> None:
        async with running() as mesh, proxy(mesh.xds) as front:
            mesh.tell(EndpointsReport(endpoints=()))
            mesh.tell(document("back"))
            await front.ask()
            await front.clusters()
            assert (await mesh.console.get("/nodes")).json()["document"]["waits_for"] == ["service/front/i-1"]
            await front.ask(refuse="no such thing")
            await asyncio.sleep(0.1)
            said = (await mesh.console.get("/nodes")).json()["document"]
            assert (said["serving"], said["refusal"], said["waits_for"]) == (document_version(document("back").text), "", [])
            assert said["behind"] == {"service/front/i-1": {"reason": "it refuses Cluster: no such thing", "keeps": False}}
            mesh.tell(document("back", "more"))
            assert (await mesh.console.get("/nodes")).json()["document"]["waits_for"] == ["service/front/i-1"]
            assert await front.clusters() == ["back", "more"]
            await front.ask()
            await asyncio.sleep(0.1)
            said = (await mesh.console.get("/nodes")).json()["document"]
            assert (said["waits_for"], said["behind"]) == ([], {})

    asyncio.run(scenario())


def test_a_discovery_that_breaks_ends_the_control_plane_for_its_machine_to_start_anew() -> None:
    async def scenario() -> None:
        control_plane = ControlPlane(stack="t", discovery=Broken(), authorize=everyone, metrics=Metrics(registry=CollectorRegistry()))
        with pytest.raises(RuntimeError, match="discovery broke"):
            await control_plane.run("127.0.0.1", xds_port=0, console_port=0, tls=None, stop=asyncio.Event())

    asyncio.run(scenario())
