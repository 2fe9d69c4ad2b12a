"""Two files instead of a cloud: what they say, and what a mistake in them costs."""

import asyncio
import json
from pathlib import Path

import pytest

from apps.control_plane.discovery.reports import (
    DocumentReport,
    EdgeTlsReport,
    EndpointsReport,
    FaultReport,
    Report,
    Sighting,
    SweepReport,
)
from apps.control_plane.discovery.static_file import STACK_PATH, StaticFiles, read_endpoints


def test_groups_become_machines_of_their_role() -> None:
    report = read_endpoints("edge: [{address: 127.0.0.2, id: e1}]\nweb: [{address: 127.0.0.3, zone: a, draining: true}]\npostgres: []\n")
    assert report.endpoints == (
        Sighting(instance="e1", role="edge", service="edge", address="127.0.0.2", zone="local"),
        Sighting(instance="127.0.0.3", role="service", service="web", address="127.0.0.3", zone="a", draining=True),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [("web: [{address: nowhere}]", "web.0.address"), ("web: [{address: 127.0.0.2, port: 1}]", "web.0.port"), ("web: [", "not YAML")],
)
def test_a_mistake_is_named_by_its_path(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_endpoints(text)


def test_certificates_lie_below_the_directory_as_their_paths_say(tmp_path: Path) -> None:
    files = StaticFiles(mesh=tmp_path / "mesh.yaml", endpoints=tmp_path / "endpoints.yaml", edge_tls=tmp_path)
    told: list[Report] = []

    async def scenario() -> None:
        task = asyncio.create_task(files.run(told.append))
        await asyncio.sleep(0.3)
        for directory in (tmp_path, tmp_path / "team" / "shop"):
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "key.pem").write_text("key")
            (directory / "certificate.pem").write_text(str(directory.name))
        await asyncio.sleep(0.5)
        task.cancel()

    asyncio.run(scenario())
    found = {report.path: report.chain for report in told if isinstance(report, EdgeTlsReport)}
    assert found == {STACK_PATH: tmp_path.name, "/team/shop": "shop"}


def test_a_changed_file_is_told_and_a_broken_one_is_a_fault_once(tmp_path: Path) -> None:
    mesh, endpoints = tmp_path / "mesh.yaml", tmp_path / "endpoints.yaml"
    mesh.write_text("domain: t.internal\n")
    endpoints.write_text("web: [{address: 127.0.0.3}]\n")
    (tmp_path / "certificate.pem").write_text("chain")
    (tmp_path / "key.pem").write_text("key")
    told: list[Report] = []

    async def scenario() -> None:
        task = asyncio.create_task(StaticFiles(mesh=mesh, endpoints=endpoints, edge_tls=tmp_path).run(told.append))
        await asyncio.sleep(0.5)
        endpoints.write_text("web: [{address: ")
        await asyncio.sleep(0.5)
        endpoints.write_text("web: [{address: 127.0.0.4}]\n")
        await asyncio.sleep(0.5)
        task.cancel()

    asyncio.run(scenario())
    news = [report for report in told if not isinstance(report, SweepReport)]
    assert [type(report) for report in news] == [EdgeTlsReport, DocumentReport, EndpointsReport, FaultReport, EndpointsReport]
    assert news[0] == EdgeTlsReport(path=STACK_PATH, chain="chain", key="key")
    assert isinstance(news[1], DocumentReport)
    assert json.loads(news[1].text)["mesh"] == {"domain": "t.internal"}
