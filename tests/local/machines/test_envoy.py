"""A real Envoy as a machine's service."""

import json
import urllib.request
from typing import Any

import pytest

from local.machines.machine import Health

pytestmark = pytest.mark.envoy

BOOTSTRAP = """
node: {id: test, cluster: test}
admin: {address: {socket_address: {address: ADDRESS, port_value: 9901}}}
"""


def test_envoy_runs_with_its_compose_command_and_ends_at_once(rig: Any) -> None:
    service = {
        "image": "envoyproxy/envoy:contrib-v1.40.0",
        "command": ["envoy", "-c", "${MESH_ROOT}/run/mesh/envoy.yaml", "--disable-hot-restart", "--concurrency", "1"],
        "restart": "always",
        "labels": {"envoy-mesh.ready": "http://${MESH_LOOPBACK}:9901/ready"},
    }
    bootstrap = BOOTSTRAP.replace("ADDRESS", str(rig.network[266]))
    instance = rig.launch({"envoy": service}, files={"/run/mesh/envoy.yaml": bootstrap})
    rig.until_health(Health.HEALTHY)
    answer = json.load(urllib.request.urlopen(f"http://{instance.private_address}:9901/server_info"))
    assert answer["state"] == "LIVE"
    assert answer["command_line_options"]["concurrency"] == 1
    rig.cloud.terminate(instance.id)
    rig.until(lambda machines: machines == [])
