"""What smoke makes of the samples' answers, and which arrows it knows to exercise."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.smoke import fronts_of
from cli.smoke_hops import arrows, hops_of, machines_passed, passed
from model.read import read_mesh
from model.spec import MeshSpec

EDGE, CALLER, CALLEE = "edge/edge/i-1", "service/service-1/i-2", "service/grpc-1/i-3"
VERSION = "PostgreSQL 18.0 on x86_64-pc-linux-gnu"


@pytest.fixture
def mesh() -> MeshSpec:
    """The mesh of Pulumi.local.yaml."""
    file = Path(__file__).resolve().parents[2] / "Pulumi.local.yaml"
    return read_mesh(yaml.safe_load(file.read_text())["config"]["envoy-mesh:mesh"], local=True)


def test_every_call_of_the_local_stack_is_exercised(mesh: MeshSpec) -> None:
    assert arrows(mesh) == {(name, callee) for name, service in mesh.services.items() for callee in service.calls}


def test_the_grpc_service_is_asked_to_query_the_database(mesh: MeshSpec) -> None:
    assert ("grpc?query=true", ["grpc-1", "postgres"]) in hops_of(mesh, mesh.services["service-1"])


def test_each_hop_is_named_once_and_in_order() -> None:
    body = {"via": [EDGE, CALLER], "next": {"via": [CALLER, CALLEE], "database_version": VERSION}}
    assert machines_passed(body) == [EDGE, CALLER, CALLEE, "PostgreSQL 18.0"]
    assert passed(body, ["edge"], "service-1", ["grpc-1", "postgres"])


def test_a_request_to_an_outer_edge_passes_an_edge_of_the_mesh_too() -> None:
    assert fronts_of({"edgeUrls": ["https://a"], "outerEdgeUrls": {"us-east-1": ["https://b"]}}) == {
        "https://a": ("edge",),
        "https://b": ("us-east-1", "edge"),
    }
    assert passed({"via": ["outer-edge/us-east-1/i-0", EDGE, CALLER]}, ("us-east-1", "edge"), "service-1", [])
    assert not passed({"via": [EDGE, CALLER]}, ("us-east-1", "edge"), "service-1", [])


@pytest.mark.parametrize(
    "body",
    [
        {"via": [EDGE, CALLER], "next": {"via": [CALLER, CALLEE]}},
        {"via": [EDGE, CALLER], "next": {"via": [CALLEE], "database_version": ""}},
        {"via": [CALLER], "next": {"via": [CALLER, CALLEE], "database_version": VERSION}},
        {"via": [EDGE, CALLER], "next": {"via": [CALLER], "database_version": VERSION}},
        {},
    ],
)
def test_an_answer_that_misses_a_hop_or_the_database_does_not_pass(body: dict[str, Any]) -> None:
    assert not passed(body, ["edge"], "service-1", ["grpc-1", "postgres"])
