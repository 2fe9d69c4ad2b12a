"""Real Postgres as the official image starts it: users, scripts, who may come in, and data that outlives the machine."""

import json
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from components.machine_files import users_script
from local.machines.machine import Health
from local.machines.postgres import binaries
from model.contract import LOCAL_POSTGRES_VERSION

pytestmark = pytest.mark.components

PORT = 5433
DATA = "${MESH_ROOT}/var/lib/mesh"
VOLUME = "vol-0123"
HBA = "local all all trust\nhost mesh reader ${MESH_ADDRESS}/32 scram-sha-256\n"
SCRIPT = "CREATE ROLE reader LOGIN PASSWORD 'read';\nCREATE TABLE words (word text);\nGRANT ALL ON words TO reader;\n"


def database(**environment: str) -> dict[str, Any]:
    return {
        "postgres": {
            "image": "docker.io/library/postgres:18@sha256:00",
            "command": ["postgres", "-c", "listen_addresses=${MESH_LOOPBACK}", "-c", f"port={PORT}"],
            "restart": "always",
            "environment": {"PGDATA": f"{DATA}/postgres/data", "POSTGRES_DB": "mesh", "POSTGRES_PASSWORD": "secret", **environment},
            "volumes": [f"{DATA}/postgres:{DATA}/postgres", "${MESH_ROOT}/etc/initdb:/docker-entrypoint-initdb.d:ro"],
            "stop_signal": "SIGINT",
            "labels": {"envoy-mesh.ready": f"tcp://${{MESH_LOOPBACK}}:{PORT}"},
        }
    }


def ask(address: object, sql: str, *, user: str = "postgres", password: str = "secret", dbname: str = "mesh") -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(host=str(address), port=PORT, user=user, password=password, dbname=dbname, connect_timeout=3)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def test_postgres_starts_with_its_scripts_run_and_keeps_its_data_through_a_kill(rig: Any) -> None:
    began = time.monotonic()
    instance = rig.launch(database(), role="database", files={"/etc/initdb/10-users.sql": SCRIPT})
    rig.until_health(Health.HEALTHY)
    print(f"Postgres with a new data directory is ready after {time.monotonic() - began:.2f} s")
    address = instance.private_address
    ask(address, "INSERT INTO words VALUES ('kept')", user="reader", password="read")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        ask(address, "SELECT 1", user="reader", password="wrong")
    with pytest.raises(psycopg2.OperationalError, match="refused"):
        psycopg2.connect(host="127.0.0.1", port=PORT, user="postgres", connect_timeout=1)
    (server,) = [pid for pid in rig.pids() if psutil.Process(pid).name() == "postgres"]
    assert psutil.Process(server).children()
    psutil.Process(server).kill()
    rig.until(lambda machines: machines[0].health == Health.UNHEALTHY)
    rig.until_health(Health.HEALTHY)
    assert ask(address, "SELECT word FROM words") == [("kept",)]


def with_users(*names: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Our database machine: the server, and the one-shot that makes users of services (components/compose_files.py)."""
    services = database()
    client = {"PGHOST": "${MESH_LOOPBACK}", "PGPORT": str(PORT), "PGDATABASE": "mesh", "PGUSER": "postgres", "POSTGRES_PASSWORD": "secret"}
    passwords = {f"PASSWORD_{name.upper().replace('-', '_')}": f"of-{name}" for name in names}
    services["users"] = {
        "image": services["postgres"]["image"],
        "command": ["sh", "${MESH_ROOT}/run/mesh/postgres/users.sh"],
        "restart": "on-failure",
        "environment": {**client, **passwords},
    }
    services["prepare"] = {"image": "agent:1", "labels": {"envoy-mesh.local.command": "python -m apps.agent prepare"}}
    for name in ("postgres", "users"):
        services[name]["depends_on"] = {"prepare": {"condition": "service_completed_successfully"}}
    task = {"volume": {"id": VOLUME, "label": "mesh-data", "mount": "/var/lib/mesh/postgres"}}
    return services, {"/etc/mesh/agent.json": json.dumps(task), "/etc/mesh/templates/postgres/users.sh": users_script(list(names))}


def as_service(address: object, name: str, sql: str) -> list[tuple[Any, ...]]:
    return ask(address, sql, user=name, password=f"of-{name}")


@pytest.mark.usefixtures("ec2")
def test_a_service_that_comes_later_is_a_user_when_the_machine_is_replaced_and_the_data_is_still_there(rig: Any) -> None:
    def boot(index: int, *names: str) -> Any:
        services, files = with_users(*names)
        instance = rig.launch(services, index=index, role="database", files=files)
        rig.until_health(Health.HEALTHY)
        return instance

    first = boot(10, "web")
    as_service(first.private_address, "web", "CREATE TABLE words (word text); INSERT INTO words VALUES ('kept')")
    rig.cloud.terminate(first.id)
    rig.until(lambda machines: machines == [])
    second = boot(11, "web", "service-3")
    assert as_service(second.private_address, "web", "SELECT word FROM words") == [("kept",)]
    as_service(second.private_address, "service-3", "CREATE TABLE own (number int)")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        as_service(second.private_address, "service-3", "SELECT * FROM web.words")


@pytest.mark.usefixtures("ec2")
def test_making_the_users_again_gives_back_what_was_taken_and_ends_well(rig: Any) -> None:
    services, files = with_users("web")
    instance = rig.launch(services, role="database", files=files)
    rig.until_health(Health.HEALTHY)
    ask(instance.private_address, "ALTER ROLE web NOLOGIN PASSWORD 'old'; ALTER SCHEMA web OWNER TO postgres")
    rig.cloud.put(replace(instance, state="stopped"))
    rig.until_health(Health.STOPPED)
    rig.cloud.put(instance)
    rig.until_health(Health.HEALTHY)
    as_service(instance.private_address, "web", "CREATE TABLE words (word text)")


@pytest.mark.usefixtures("ec2")
def test_a_machine_whose_users_cannot_be_made_is_not_healthy(rig: Any) -> None:
    services, files = with_users("web")
    del services["users"]["environment"]["PASSWORD_WEB"]
    services["users"]["environment"]["POSTGRES_PASSWORD"] = "wrong"
    rig.launch(services, role="database", files=files)
    status = rig.until(lambda machines: bool(machines) and machines[0].health == Health.UNHEALTHY)[0]
    assert "users: ended with code" in status.detail


def test_the_local_server_has_the_version_that_the_config_rule_names() -> None:
    said = subprocess.run([str(binaries() / "postgres"), "--version"], capture_output=True, text=True, check=True).stdout
    assert said.split()[2].split(".")[0] == LOCAL_POSTGRES_VERSION


def test_host_rules_of_the_command_decide_who_comes_in(rig: Any) -> None:
    services = database()
    services["postgres"]["command"] += ["-c", "hba_file=${MESH_ROOT}/etc/pg_hba.conf"]
    hba = HBA.replace("${MESH_ADDRESS}", str(rig.network[266]))
    files = {"/etc/initdb/10-users.sql": SCRIPT, "/etc/pg_hba.conf": hba}
    instance = rig.launch(services, role="database", files=files)
    rig.until_health(Health.HEALTHY)
    with pytest.raises(psycopg2.OperationalError, match="no pg_hba"):
        ask(instance.private_address, "SELECT 1")


def test_a_terminated_database_machine_leaves_no_process_and_no_shared_memory(rig: Any) -> None:
    def segments() -> set[str]:
        return {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]}

    before, shared = segments(), set(Path("/dev/shm").iterdir())
    instance = rig.launch(database(), role="database")
    rig.until_health(Health.HEALTHY)
    (server,) = [pid for pid in rig.pids() if psutil.Process(pid).name() == "postgres"]
    family = [server, *(child.pid for child in psutil.Process(server).children())]
    began = time.monotonic()
    rig.cloud.put(replace(instance, state="terminated"))
    while any(psutil.pid_exists(pid) for pid in family):
        assert time.monotonic() - began < 1
        time.sleep(0.01)
    print(f"{len(family)} processes of Postgres are gone after {time.monotonic() - began:.3f} s")
    assert segments() <= before
    assert set(Path("/dev/shm").iterdir()) <= shared


def test_a_database_without_a_password_is_refused_as_the_image_refuses_it(rig: Any) -> None:
    rig.launch(database(POSTGRES_PASSWORD=""), role="database")
    status = rig.until(lambda machines: bool(machines) and machines[0].health == Health.UNHEALTHY)[0]
    assert "POSTGRES_PASSWORD is empty" in status.detail


def test_a_failing_script_is_named_and_the_half_made_database_is_not_used(rig: Any) -> None:
    rig.launch(database(), role="database", files={"/etc/initdb/10-users.sql": "CREATE NONSENSE;"})
    status = rig.until(lambda machines: bool(machines) and machines[0].health == Health.UNHEALTHY)[0]
    assert "10-users.sql" in status.detail
    again = rig.until(lambda machines: machines[0].detail.endswith("starts again in 0.2 s"))[0]
    assert "NONSENSE" in again.detail
