"""A service in its life: graceful stop, the end of its grace, losing its readiness, and its log."""

import time
import urllib.request
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from local.machines import host
from local.machines.machine import Health

pytestmark = pytest.mark.components

SERVER = """
import http.server, os, pathlib, signal, sys
root = pathlib.Path(os.environ["MESH_ROOT"])

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if (root / "sick").exists() else 200)
        self.end_headers()

def end(*_):
    print("asked to end", flush=True)
    if not (root / "stubborn").exists():
        sys.exit(0)

signal.signal(signal.SIGTERM, end)
http.server.HTTPServer((os.environ["HOST"], 8080), Handler).serve_forever()
"""
APP = {
    "image": "example/app",
    "restart": "always",
    "stop_grace_period": "500ms",
    "environment": {"HOST": "${MESH_LOOPBACK}"},
    "labels": {"envoy-mesh.local.command": "python ${MESH_ROOT}/app.py", "envoy-mesh.ready": "http://${MESH_LOOPBACK}:8080/"},
}


def root(rig: Any, identity: str) -> Path:
    return Path(rig.paths.machines / identity / "root")


def test_a_stop_asks_first(rig: Any) -> None:
    instance = rig.launch({"app": APP}, files={"/app.py": SERVER})
    rig.until_health(Health.HEALTHY)
    rig.cloud.put(replace(instance, state="stopped"))
    rig.until_health(Health.STOPPED)
    assert "asked to end" in rig.host.logs(instance.id)["app"].read_text()


def test_a_program_that_does_not_end_is_killed_after_its_grace(rig: Any) -> None:
    instance = rig.launch({"app": APP}, files={"/app.py": SERVER, "/stubborn": ""})
    rig.until_health(Health.HEALTHY)
    began = time.monotonic()
    rig.cloud.put(replace(instance, state="stopped"))
    rig.until_health(Health.STOPPED)
    assert 0.45 < time.monotonic() - began < 3
    assert rig.pids() == []


def test_a_termination_does_not_ask(rig: Any) -> None:
    instance = rig.launch({"app": APP}, files={"/app.py": SERVER, "/stubborn": ""})
    rig.until_health(Health.HEALTHY)
    (pid,) = rig.pids()
    rig.cloud.terminate(instance.id)
    began = time.monotonic()
    while psutil.pid_exists(pid):
        assert time.monotonic() - began < 0.25
        time.sleep(0.005)
    assert "asked to end" not in rig.host.logs(instance.id)["app"].read_text()


def test_a_service_that_is_no_longer_ready_is_shown_and_recovers(rig: Any) -> None:
    instance = rig.launch({"app": APP}, files={"/app.py": SERVER})
    rig.until_health(Health.HEALTHY)
    (root(rig, instance.id) / "sick").touch()
    status = rig.until(lambda machines: machines[0].health == Health.UNHEALTHY)[0]
    assert status.detail == f"app: http://{instance.private_address}:8080/ answers 503"
    (root(rig, instance.id) / "sick").unlink()
    rig.until_health(Health.HEALTHY)


def test_a_large_log_is_put_aside_while_its_writer_goes_on(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = rig.launch({"app": APP}, files={"/app.py": SERVER})
    rig.until_health(Health.HEALTHY)
    log = rig.host.logs(instance.id)["app"]
    before = log.read_text()
    assert before.count("GET /") >= 1
    monkeypatch.setattr(host, "LOG_LIMIT", 1)
    monkeypatch.setattr(host, "LOG_SWEEP", timedelta(seconds=0.1))
    rig.run(restart_rotation(rig.host))
    old = log.with_name("app.log.1")
    while not old.exists():
        time.sleep(0.02)
    monkeypatch.setattr(host, "LOG_LIMIT", 10_000_000)
    urllib.request.urlopen(f"http://{instance.private_address}:8080/marked")
    while "marked" not in log.read_text():
        time.sleep(0.02)
    assert old.read_text() == before
    assert "\0" not in log.read_text()
    assert list(rig.host.logs(instance.id)) == ["app"]


async def restart_rotation(machines: host.MachineHost) -> None:
    """The sweep that is under way sleeps for the usual time; another with the test's time is begun."""
    machines._tasks.append(machines._tasks[0].get_loop().create_task(machines._rotate_logs()))
