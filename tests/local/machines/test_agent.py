"""The agent's one-shots, done by the runner itself."""

import json
import urllib.request
from typing import Any

import pytest

from local.machines.agent import task_of
from local.machines.machine import Health

PORT = 8080
VOLUME = "vol-0123"
PREPARE = {"image": "example/agent", "labels": {"envoy-mesh.local.command": "python -m apps.agent prepare"}}
WEB = {
    "image": "example/web",
    "restart": "always",
    "depends_on": {"prepare": {"condition": "service_completed_successfully"}},
    "volumes": ["${MESH_ROOT}/data:${MESH_ROOT}/data"],
    "labels": {
        "envoy-mesh.local.command": "python -m http.server --bind {host} 8080 --directory ${MESH_ROOT}",
        "envoy-mesh.ready": "http://${MESH_LOOPBACK}:8080/",
    },
}
TEMPLATE = {"/etc/mesh/templates/page": "I am ${MESH_INSTANCE_ID}"}


def agent_file(**task: Any) -> dict[str, str]:
    return {"/etc/mesh/agent.json": json.dumps(task)}


@pytest.mark.parametrize(
    ("words", "task"),
    [
        (["python", "-m", "apps.agent", "prepare"], "prepare"),
        (["python3", "-m", "apps.agent", "associate"], "associate"),
        (["python", "-m", "apps.agent", "format"], None),
        (["python", "-m", "apps.http_service"], None),
        ([], None),
    ],
)
def test_only_the_agent_s_own_command_lines_are_done_in_the_supervisor(words: list[str], task: str | None) -> None:
    assert task_of(words) == task


@pytest.mark.components
def test_templates_are_rendered_before_the_services_start(rig: Any) -> None:
    instance = rig.launch({"prepare": PREPARE, "web": WEB}, files={**TEMPLATE, **agent_file()})
    rig.until_health(Health.HEALTHY)
    page = urllib.request.urlopen(f"http://{instance.private_address}:{PORT}/run/mesh/page").read()
    assert page == f"I am {instance.id}".encode()


@pytest.mark.components
def test_a_task_that_cannot_be_done_is_shown_and_tried_again(rig: Any) -> None:
    files = {"/etc/mesh/templates/page": "${MESH_NOSUCH}", **agent_file()}
    rig.launch({"prepare": PREPARE, "web": WEB}, files=files)
    status = rig.until(lambda machines: bool(machines) and machines[0].health == Health.UNHEALTHY)[0]
    assert "MESH_NOSUCH" in status.detail
    assert status.detail.endswith("starts again in 2 s")


@pytest.mark.components
def test_a_machine_waits_for_its_volume_whose_data_outlives_the_one_before(rig: Any, ec2: Any) -> None:
    files = agent_file(volume={"id": VOLUME, "label": "mesh-data", "mount": "/data"})
    first = rig.launch({"prepare": PREPARE, "web": WEB}, role="database", files=files)
    rig.until_health(Health.HEALTHY)
    assert ec2.holders == {VOLUME: first.id}
    (rig.paths.machines / first.id / "root/data/kept").write_text("still here")
    second = rig.launch({"prepare": PREPARE, "web": WEB}, index=11, role="database", files=files)
    waits = f"prepare: waits for volume {VOLUME}: it is on {first.id}"
    rig.until(lambda machines: any(waits in one.detail for one in machines))
    rig.cloud.terminate(first.id)
    rig.until_health(Health.HEALTHY)
    assert urllib.request.urlopen(f"http://{second.private_address}:{PORT}/data/kept").read() == b"still here"
