"""Real Postgres as the official image starts it: users, scripts, who may come in, and data that outlives the machine."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from local.machines.machine import Health

pytestmark = pytest.mark.components

PORT = 5433
DATA = "${MESH_ROOT}/var/lib/mesh"
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
