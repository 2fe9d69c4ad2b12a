"""The double proxy of the local stack: through the outer edge in another region to the mesh's own edges, and what it survives."""

import re
import ssl
from collections import Counter
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from tests.e2e.driver import Stack, eventually
from tests.e2e.sight import growth
from tests.origin_port import said_at_origin

pytestmark = pytest.mark.e2e

REGION = "us-east-1"
LOAD_SECONDS = 12
ROUNDS = 10


def url_of(stack: Stack) -> str:
    (url,) = stack.outputs()["outerEdgeUrls"][REGION]
    return str(url)


def test_a_request_passes_the_outer_edge_and_then_each_of_the_meshs_own(stack: Stack) -> None:
    """Acceptance 92."""
    with stack.client(url_of(stack)) as client:
        forged = {"x-forwarded-client-cert": "Hash=00;URI=spiffe://evil"}
        answers = [client.get("/service-1/headers", headers=forged) for _ in range(ROUNDS)]
        ways = [client.get("/service-1/info").json()["via"] for _ in range(ROUNDS)]
    assert {answer.status_code for answer in answers} == {200}
    seen = answers[0].json()["headers"]
    assert seen["x-forwarded-proto"] == "https"
    assert seen["x-request-id"] == answers[0].headers["x-request-id"]
    told = r"By=spiffe://[^;,]+/edge/edge;Hash=[0-9a-f]{64};Subject=\"[^\"]*\";URI=spiffe://[^;,]+/outer-edge/us-east-1"
    assert re.fullmatch(told, seen["x-forwarded-client-cert"])
    assert [[node.rpartition("/")[0] for node in way] for way in ways] == [
        [f"outer-edge/{REGION}", "edge/edge", "service/service-1"]
    ] * ROUNDS
    origins = Counter(way[1] for way in ways)
    assert {f"edge/edge/{machine}" for machine in stack.healthy("edge")} == set(origins)


def test_the_database_answers_through_both_edges_and_both_of_its_sidecars(stack: Stack) -> None:
    """Acceptance 86."""
    with stack.client(url_of(stack)) as client:
        answer = client.get("/service-1/db")
    assert answer.status_code == 200
    assert answer.json()["database"]["version"].startswith("PostgreSQL 18")
    assert [node.rpartition("/")[0] for node in answer.json()["via"]][:2] == [f"outer-edge/{REGION}", "edge/edge"]


def test_a_websocket_passes_both_edges(stack: Stack) -> None:
    verified = ssl.create_default_context(cafile=str(stack.ca))
    with connect(url_of(stack).replace("https", "wss", 1) + "/service-1/ws", ssl=verified, proxy=None) as socket:
        greeting = socket.recv(timeout=10)
        for number in range(3):
            socket.send(f"message {number}")
            assert socket.recv(timeout=10) == f"[ws] message {number}"
    assert "service-1" in str(greeting)


def test_the_origins_port_answers_nobody_but_outer_edges(stack: Stack, edges: list[str]) -> None:
    """Acceptance 87, 88, 89: neither without a certificate nor with one of the mesh that is no outer edge's."""
    (service, *_), (outer,) = stack.healthy("service-1"), stack.healthy(REGION)
    attempts = {"fail_verify_no_cert": None, "fail_verify_san": keys_of(stack, service)}
    for cause, keys in attempts.items():
        with growth(edges, f"listener.edge-origin.ssl.{cause}") as counted:
            assert [said_at_origin(edge, keys) for edge in edges] == [b""] * len(edges)
        assert list(counted.values()) == [len(edges)]
    assert all(said_at_origin(edge, keys_of(stack, outer)).startswith(b"\0\0") for edge in edges), "it gets HTTP/2 settings"


def keys_of(stack: Stack, machine: str) -> Path:
    """Where a machine keeps its certificate of the mesh."""
    (found,) = [path.parent for path in stack.state.glob(f"machines/{machine}*/**/tls/certificate.pem")]
    return found


def test_the_outer_edge_is_a_machine_of_its_region_with_an_address_of_its_own(stack: Stack) -> None:
    (machine,) = [one for one in stack.machines() if one["role"] == "outer-edge"]
    assert (machine["service"], machine["zone"], machine["health"]) == (REGION, f"{REGION}a", "healthy")
    (address,) = stack.aws("ec2", region=REGION).describe_addresses()["Addresses"]
    assert (address["InstanceId"], address["PublicIp"]) == (machine["id"], httpx.URL(url_of(stack)).host)
    assert machine["id"] not in str(stack.aws("ec2").describe_instances()), "the stack's own region does not know it"


@pytest.mark.slow
def test_an_origin_edge_that_is_terminated_under_load_costs_clients_of_the_outer_edge_nothing(stack: Stack) -> None:
    """The outer edge asks the other origin edge again; the group makes the lost one anew."""
    with stack.client(url_of(stack)) as client:
        assert client.get("/service-1/info").status_code == 200
    before = stack.healthy("edge")
    load = stack.load("/service-1/info", rate=50, seconds=LOAD_SECONDS, url=url_of(stack))
    victim = sorted(before)[0]
    stack.aws("ec2").terminate_instances(InstanceIds=[victim])
    took = eventually("both edges are there again", lambda: len(stack.healthy("edge") - {victim}) == 2, seconds=30, pause=0.2)
    result = load.result()
    print(f"whole again {took:.1f} s after {victim} was terminated")
    assert not result["failures"]
    assert result["sent"] == result["statuses"]["200"]


@pytest.mark.slow
def test_a_terminated_outer_edge_comes_back_with_its_address(stack: Stack) -> None:
    url, (victim,) = url_of(stack), stack.healthy(REGION)
    stack.aws("ec2", region=REGION).terminate_instances(InstanceIds=[victim])
    eventually("another machine is healthy", lambda: bool(stack.healthy(REGION) - {victim}), seconds=60, pause=0.2)

    def answers() -> bool:
        with stack.client(url) as client:
            return client.get("/service-1/info").status_code == 200

    took = eventually("the address answers", answers, seconds=10)
    print(f"answers again {took:.1f} s after its successor is healthy")


@pytest.mark.slow
def test_a_region_of_outer_edges_comes_to_a_running_stack_and_goes_again(small: Stack) -> None:
    """The mesh's own edges get a successor each, which accepts outer ones; services and control planes are not touched."""
    small.mesh("up")
    before = {one["id"] for one in small.machines() if one["role"] in ("service", "control-plane")}
    with small.edited() as mesh:
        mesh["edge"]["outer"] = [{"region": REGION, "cidr": "127.20.128.0/20", "instances": 2}]
    small.mesh("up")
    urls = small.outputs()["outerEdgeUrls"][REGION]
    for url in urls:
        with small.client(url) as client:
            assert client.get("/service-1/info").json()["via"][0].startswith(f"outer-edge/{REGION}/")
    assert len(urls) == 2
    assert before <= {one["id"] for one in small.machines()}
    with small.edited() as mesh:
        mesh["edge"].pop("outer")
    small.mesh("up")
    assert not small.healthy(REGION)
    ec2 = small.aws("ec2", region=REGION)
    assert (ec2.describe_vpcs()["Vpcs"], ec2.describe_addresses()["Addresses"]) == ([], [])
