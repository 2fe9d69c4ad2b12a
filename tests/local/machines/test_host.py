"""Machines that really boot: programs by label, restarts, ends, and machines that cannot start."""

import socket
import time
import urllib.error
import urllib.request
from dataclasses import replace
from typing import Any

import psutil
import pytest

from local.machines.machine import Health

pytestmark = pytest.mark.components

PORT = 8080


def web(**settings: Any) -> dict[str, Any]:
    """Python's file server, by label."""
    return {
        "image": "example/web:1",
        "restart": "always",
        "environment": {"HOST": "${MESH_LOOPBACK}", "PORT": str(PORT)},
        "labels": {
            "envoy-mesh.local.command": "python -m http.server --bind {host} {port} --directory ${MESH_ROOT}/etc/mesh",
            "envoy-mesh.ready": f"http://${{MESH_LOOPBACK}}:{PORT}/",
        },
        **settings,
    }


def gone(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


def test_a_machine_boots_from_its_user_data_and_serves_its_files(rig: Any) -> None:
    instance = rig.launch({"web": web()}, files={"/etc/mesh/page": "hello"})
    status = rig.until_health(Health.HEALTHY)
    assert (status.id, status.role, status.address, status.detail) == (instance.id, "service", str(instance.private_address), "")
    base = f"http://{instance.private_address}:{PORT}"
    assert urllib.request.urlopen(f"{base}/page").read() == b"hello"
    facts = urllib.request.urlopen(f"{base}/machine.env").read().decode().splitlines()
    assert f"MESH_INSTANCE_ID={instance.id}" in facts
    assert "MESH_ZONE=eu-central-1a" in facts
    assert "GET /page" in rig.host.logs(instance.id)["web"].read_text()


def test_a_terminated_instance_is_gone_within_a_quarter_of_a_second(rig: Any) -> None:
    instance = rig.launch({"web": web()})
    rig.until_health(Health.HEALTHY)
    pids = rig.pids()
    began = time.monotonic()
    rig.cloud.put(replace(instance, state="terminated"))
    while not gone(pids):
        time.sleep(0.005)
    assert time.monotonic() - began < 0.25
    rig.until(lambda machines: machines == [])
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://{instance.private_address}:{PORT}/", timeout=1)
    assert "web" in rig.host.logs(instance.id)


def test_a_stopped_instance_rests_and_boots_again(rig: Any) -> None:
    instance = rig.launch({"web": web()})
    rig.until_health(Health.HEALTHY)
    rig.cloud.put(replace(instance, state="stopped"))
    rig.until_health(Health.STOPPED)
    assert rig.pids() == []
    rig.cloud.put(instance)
    rig.until_health(Health.HEALTHY)


def test_a_service_is_stopped_before_what_it_depends_on(rig: Any) -> None:
    """As Compose does; a second for each to end shows who was asked when."""
    script = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), print(time.time()), exit())); time.sleep(99)"
    slow = {"image": "example/slow:1", "labels": {"envoy-mesh.local.command": f'python -u -c "{script}"'}}
    instance = rig.launch({"sidecar": slow, "web": web(), "app": slow | {"depends_on": ["sidecar"]}})
    rig.until_health(Health.HEALTHY)
    time.sleep(0.5)
    rig.cloud.put(replace(instance, state="stopped"))
    rig.until_health(Health.STOPPED)
    ended = [float(rig.host.logs(instance.id)[name].read_text().split()[-1]) for name in ("app", "sidecar")]
    assert ended[1] - ended[0] > 0.25


def test_a_program_that_dies_is_started_again(rig: Any) -> None:
    rig.launch({"web": web()})
    rig.until_health(Health.HEALTHY)
    (first,) = rig.pids()
    psutil.Process(first).kill()
    status = rig.until(lambda machines: machines[0].health == Health.UNHEALTHY)[0]
    assert status.detail.startswith("web: was killed by SIGKILL")
    rig.until_health(Health.HEALTHY)
    assert rig.pids() != [first]


def test_a_failing_program_is_named_with_the_last_line_of_its_log(rig: Any) -> None:
    label = {"envoy-mesh.local.command": "python -c 'raise SystemExit(\"no such table\")'"}
    rig.launch({"app": web(labels=label)})
    status = rig.until(lambda machines: bool(machines) and "no such table" in machines[0].detail)[0]
    assert status.health == Health.UNHEALTHY
    assert status.detail.startswith("app: ended with code 1: no such table; starts again in ")


def test_services_start_in_the_order_of_their_conditions(rig: Any) -> None:
    script = "import pathlib; pathlib.Path('${MESH_ROOT}/etc/mesh/made').write_text('PAGE=made')"
    first = {"image": "example/prepare", "labels": {"envoy-mesh.local.command": f'python -c "{script}"'}}
    second = web(depends_on={"first": {"condition": "service_completed_successfully"}}, env_file=["${MESH_ROOT}/etc/mesh/made"])
    instance = rig.launch({"second": second, "first": first})
    rig.until_health(Health.HEALTHY)
    assert urllib.request.urlopen(f"http://{instance.private_address}:{PORT}/made").read() == b"PAGE=made"


def test_a_failed_preparation_is_repeated_as_the_boot_unit_does(rig: Any) -> None:
    script = "import pathlib, sys; p = pathlib.Path('${MESH_ROOT}/tries'); old = p.exists(); p.touch(); sys.exit(0 if old else 'not yet')"
    first = {"image": "example/prepare", "labels": {"envoy-mesh.local.command": f'python -c "{script}"'}}
    rig.launch({"first": first, "web": web(depends_on={"first": {"condition": "service_completed_successfully"}})})
    assert "not yet" in rig.until(lambda machines: bool(machines) and machines[0].health == Health.UNHEALTHY)[0].detail
    rig.until_health(Health.HEALTHY)


@pytest.mark.parametrize(
    ("instance_data", "message"),
    [
        (b"", "user data is empty"),
        (b"## template: jinja\n#cloud-config\nwrite_files: [{path: /x, content: '{{ v1.nosuch }}'}]\n", "nosuch"),
        (b"#cloud-config\nwrite_files: [{path: /etc/mesh/machine.env, content: 'MESH_ZONE=CI_MISSING_JINJA_VAR/zone'}]\n", "compose.yaml"),
        (
            b"#cloud-config\nwrite_files:\n- {path: /etc/mesh/machine.env, content: 'MESH_ZONE=CI_MISSING_JINJA_VAR/zone'}\n"
            b"- {path: /etc/mesh/compose.yaml, content: x}\n",
            "MESH_ZONE has CI_MISSING_JINJA_VAR",
        ),
    ],
)
def test_bad_user_data_makes_one_machine_unhealthy_and_disturbs_no_other(rig: Any, instance_data: bytes, message: str) -> None:
    good = rig.launch({"web": web()}, index=1)
    bad = replace(good, id="i-bad", private_address=rig.network[300], user_data=instance_data)
    rig.cloud.put(bad)
    states = rig.until(lambda machines: {one.health for one in machines} == {Health.HEALTHY, Health.UNHEALTHY})
    (broken,) = [one for one in states if one.id == "i-bad"]
    assert message in broken.detail


def test_a_missing_program_is_named(rig: Any) -> None:
    rig.launch({"app": web(labels={"envoy-mesh.local.command": "no-such-program --port {port}"})}, index=1)
    rig.launch({"app": {"image": "registry.example/team/app@sha256:00"}}, index=2)
    states = rig.until(lambda machines: len(machines) == 2 and all(one.health == Health.UNHEALTHY for one in machines))
    assert "program 'no-such-program' is not on this machine" in states[0].detail
    assert "image 'registry.example/team/app@sha256:00' has no local program; give the service image.local.command" in states[1].detail


def test_a_taken_port_is_named_with_its_owner_and_taken_when_it_is_free(rig: Any) -> None:
    with socket.create_server((str(rig.network[256 + 10]), PORT)):
        instance = rig.launch({"web": web()})
        status = rig.until(lambda machines: bool(machines) and machines[0].health == Health.UNHEALTHY)[0]
        assert f"port {instance.private_address}:{PORT} is taken by process {psutil.Process().pid}" in status.detail
    rig.until_health(Health.HEALTHY)


def test_a_program_without_a_local_form_is_reported_and_the_rest_runs(rig: Any) -> None:
    rig.launch({"web": web(), "grafana": {"image": "grafana/grafana:12"}}, index=1)
    assert "grafana: not started, Grafana has no binary" in rig.until_health(Health.HEALTHY).detail
    rig.launch({"grafana": {"image": "grafana/grafana:12"}}, index=2)
    rig.until(lambda machines: [one.health for one in machines] == [Health.HEALTHY, Health.STOPPED])


def test_a_machine_of_another_region_asks_its_own_regions_apis(rig: Any) -> None:
    command = "python -c \"import os, time; print(os.environ['AWS_REGION'], flush=True); time.sleep(60)\""
    app = {"image": "example/app", "labels": [f"envoy-mesh.local.command={command}"]}
    regions = ("eu-central-1", "us-east-1")
    launched = [rig.launch({"app": app}, index=index, region=region, zone=f"{region}a") for index, region in enumerate(regions, start=1)]
    rig.until(lambda machines: [one.health for one in machines] == [Health.HEALTHY] * len(regions))
    logs = [rig.host.logs(instance.id)["app"] for instance in launched]
    while not all(log.read_text() for log in logs):
        time.sleep(0.01)
    assert [log.read_text().strip() for log in logs] == list(regions)


def test_a_program_sees_its_container_s_environment_and_no_setting_of_the_developer(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-real-one")
    monkeypatch.setenv("PIP_INDEX_URL", "http://example.invalid")
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/ssl/certs/some.crt")
    command = "python -c \"import os, time; print(sorted(os.environ)); time.sleep(60)\""
    rig.launch({"app": {"image": "example/app", "environment": ["NAME=value"], "labels": [f"envoy-mesh.local.command={command}"]}})
    status = rig.until_health(Health.HEALTHY)
    log = rig.host.logs(status.id)["app"]
    while not log.read_text():
        time.sleep(0.01)
    assert "'NAME'" in log.read_text()
    assert "'AWS_REGION'" in log.read_text()
    assert "AWS_SECRET" not in log.read_text()
    assert "PIP_INDEX" not in log.read_text()
    assert "'SSL_CERT_FILE'" in log.read_text(), "what a package index is reached with does pass: uvx starts some programs"
