"""Any one machine is terminated by EC2's API, under load: the mesh is whole again without anybody's doing. Times are printed."""

import time
from contextlib import closing

import httpx
import psycopg2
import pytest

from model.contract import POSTGRES_PORT, PROMETHEUS_PORT, database_secret
from tests.e2e.driver import Stack, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LOAD_SECONDS = 20
WHOLE_SECONDS = 60
"""Longest from a machine's end until as many are healthy as before."""


def terminate(stack: Stack, role: str, index: int = 0) -> dict[str, str]:
    """Ends a machine as anybody with the right to it may, and waits until the stack is whole; returns what is gone."""
    before = stack.machines()
    machine = [one for one in before if one["role"] == role][index]
    stack.aws("ec2").terminate_instances(InstanceIds=[machine["id"]])

    def whole() -> bool:
        now = stack.machines()
        healthy = [one for one in now if one["health"] == "healthy" and one["id"] != machine["id"]]
        return len(healthy) == len(now) == len(before)

    took = eventually(f"the stack has its {role} again", whole, seconds=WHOLE_SECONDS, pause=0.2)
    print(f"{role}: whole again {took:.1f} s after {machine['id']} was terminated")
    return machine


def smoke(stack: Stack) -> None:
    assert " 0 failed" in stack.mesh("smoke").stdout


def addresses(stack: Stack, role: str) -> list[str]:
    return sorted(one["address"] for one in stack.machines() if one["role"] == role)


def query(stack: Stack, text: str) -> list[tuple[object, ...]]:
    """Runs SQL as service-1 does: through the sidecar of one of its machines, with its own password."""
    secret = stack.aws("secretsmanager").get_secret_value(SecretId=database_secret("local", "service-1"))["SecretString"]
    host = next(one["address"] for one in stack.machines() if one["service"] == "service-1")
    login = psycopg2.connect(host=host, port=POSTGRES_PORT, dbname="mesh", user="service-1", password=secret)
    with closing(login) as connection, connection, connection.cursor() as cursor:
        cursor.execute(text)
        return list(cursor.fetchall()) if cursor.description else []


@pytest.mark.parametrize("index", [0, 1])
def test_either_control_plane_comes_back_and_costs_no_request(stack: Stack, index: int) -> None:
    before = addresses(stack, "control-plane")
    load = stack.load("/service-1/info", rate=20, seconds=LOAD_SECONDS)
    terminate(stack, "control-plane", index)
    assert not load.result()["failures"]
    assert addresses(stack, "control-plane") == before
    smoke(stack)


def test_an_edge_comes_back_with_its_address_and_costs_clients_of_the_other_no_request(stack: Stack) -> None:
    """The other edge is known by its address: the terminated one has lost its own."""
    urls, machine = stack.urls, next(one for one in stack.machines() if one["role"] == "edge")
    with stack.client(urls[0]) as client:
        first = client.get("/service-1/info").json()["via"][0]
    gone = 0 if first.endswith(machine["id"]) else 1
    load = stack.load("/service-1/info", rate=20, seconds=LOAD_SECONDS, edge=1 - gone)
    stack.aws("ec2").terminate_instances(InstanceIds=[machine["id"]])
    began = time.monotonic()
    eventually("its address answers nobody", lambda: not answers(stack, urls[gone]), seconds=5)
    eventually("its address answers again", lambda: answers(stack, urls[gone]), seconds=WHOLE_SECONDS)
    print(f"edge: clients of the terminated one's address are served again after {time.monotonic() - began:.1f} s")
    eventually("the stack is whole", lambda: {one["health"] for one in stack.machines()} == {"healthy"}, seconds=WHOLE_SECONDS)
    print(f"edge: whole again {time.monotonic() - began:.1f} s after {machine['id']} was terminated")
    assert not load.result()["failures"]
    holders = {one["PublicIp"]: one.get("InstanceId") for one in stack.aws("ec2").describe_addresses()["Addresses"]}
    edges = {one["id"] for one in stack.machines() if one["role"] == "edge"}
    assert {holders[address] for address in stack.outputs()["edgeAddresses"]} == edges
    smoke(stack)


def answers(stack: Stack, url: str) -> bool:
    try:
        with stack.client(url) as client:
            return client.get("/service-1/info").status_code == 200
    except httpx.TransportError:
        return False


def test_the_database_comes_back_with_its_data(stack: Stack) -> None:
    query(stack, "CREATE TABLE IF NOT EXISTS kept (word text); TRUNCATE kept; INSERT INTO kept VALUES ('here')")
    load = stack.load("/service-1/info", rate=20, seconds=LOAD_SECONDS)
    terminate(stack, "database")
    assert not load.result()["failures"]
    assert query(stack, "SELECT word FROM kept") == [("here",)]
    query(stack, "DROP TABLE kept")
    smoke(stack)


def test_prometheus_comes_back_with_its_samples(stack: Stack) -> None:
    (address,) = addresses(stack, "monitoring")
    before = time.time()

    def samples() -> int:
        answer = httpx.get(f"http://{address}:{PROMETHEUS_PORT}/api/v1/query", params={"query": "up", "time": before}, trust_env=False)
        return len(answer.json()["data"]["result"])

    eventually("there are samples", lambda: samples() > 0, seconds=40, pause=0.5)
    load = stack.load("/service-1/info", rate=20, seconds=LOAD_SECONDS)
    terminate(stack, "monitoring")
    assert not load.result()["failures"]
    assert samples() > 0


@pytest.mark.parametrize("role", ["identity", "service"])
def test_every_other_machine_comes_back_and_costs_no_request(stack: Stack, role: str) -> None:
    load = stack.load("/service-1/info", rate=20, seconds=LOAD_SECONDS)
    terminate(stack, role)
    assert not load.result()["failures"]
    smoke(stack)


def test_after_all_of_it_up_has_nothing_to_do(stack: Stack) -> None:
    assert "0 changes" in stack.mesh("up").stderr
