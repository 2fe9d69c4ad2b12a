"""A fixed machine is not terminated by mistake; if somebody insists, the mesh goes on, and the next `./mesh up` makes it whole."""

import time
from contextlib import closing

import psycopg2
import pytest
from botocore.exceptions import ClientError

from model.contract import POSTGRES_PORT, database_secret
from tests.e2e.driver import Stack, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LOAD_SECONDS = 12
SETTLE_SECONDS = 30


def terminate(stack: Stack, role: str, index: int = 0) -> dict[str, str]:
    """Terminates a machine by EC2's API, which takes two steps on purpose, and waits until it is gone."""
    machine = [one for one in stack.machines() if one["role"] == role][index]
    ec2 = stack.aws("ec2")
    with pytest.raises(ClientError, match="OperationNotPermitted"):
        ec2.terminate_instances(InstanceIds=[machine["id"]])
    assert machine["id"] in {one["id"] for one in stack.machines() if one["health"] == "healthy"}
    ec2.modify_instance_attribute(InstanceId=machine["id"], DisableApiTermination={"Value": False})
    ec2.terminate_instances(InstanceIds=[machine["id"]])
    eventually("the machine is gone", lambda: machine["id"] not in {one["id"] for one in stack.machines()}, seconds=SETTLE_SECONDS)
    return machine


def restore(stack: Stack, machine: dict[str, str]) -> None:
    """One `./mesh up` makes the mesh whole, another has nothing to do."""
    started = time.monotonic()
    done = stack.mesh("up")
    print(f"{machine['role']}: whole again {time.monotonic() - started:.1f} s after `./mesh up` began")
    assert "gone from the cloud, made again" in done.stderr
    assert machine["id"] not in {one["id"] for one in stack.machines()}
    assert {one["health"] for one in stack.machines()} == {"healthy"}
    assert "0 changes" in stack.mesh("up").stderr
    assert " 0 failed" in stack.mesh("smoke").stdout


def query(stack: Stack, text: str) -> list[tuple[object, ...]]:
    """Runs SQL as service-1 does: through the sidecar of one of its machines, with its own password."""
    secret = stack.aws("secretsmanager").get_secret_value(SecretId=database_secret("local", "service-1"))["SecretString"]
    host = next(one["address"] for one in stack.machines() if one["service"] == "service-1")
    login = psycopg2.connect(host=host, port=POSTGRES_PORT, dbname="mesh", user="service-1", password=secret)
    with closing(login) as connection, connection, connection.cursor() as cursor:
        cursor.execute(text)
        return list(cursor.fetchall()) if cursor.description else []


def test_a_terminated_control_plane_costs_no_request(stack: Stack) -> None:
    load = stack.load("/service-1/info", rate=20, seconds=LOAD_SECONDS)
    machine = terminate(stack, "control-plane")
    assert not load.result()["failures"]
    restore(stack, machine)


def test_a_terminated_edge_costs_clients_of_the_other_no_request(stack: Stack) -> None:
    """The other edge is known by its address: the terminated one has lost its own."""
    urls, machine = stack.urls, next(one for one in stack.machines() if one["role"] == "edge")
    with stack.client(urls[0]) as client:
        first = client.get("/service-1/info").json()["via"][0]
    survivor = 1 if first.endswith(machine["id"]) else 0
    load = stack.load("/service-1/info", rate=20, seconds=LOAD_SECONDS, edge=survivor)
    terminate(stack, "edge")
    assert not load.result()["failures"]
    restore(stack, machine)
    assert sorted(stack.urls) == sorted(urls)


def test_a_terminated_database_comes_back_with_its_data(stack: Stack) -> None:
    query(stack, "CREATE TABLE IF NOT EXISTS kept (word text); TRUNCATE kept; INSERT INTO kept VALUES ('here')")
    load = stack.load("/service-1/info", rate=20, seconds=LOAD_SECONDS)
    machine = terminate(stack, "database")
    assert not load.result()["failures"]
    restore(stack, machine)
    assert query(stack, "SELECT word FROM kept") == [("here",)]
    query(stack, "DROP TABLE kept")
