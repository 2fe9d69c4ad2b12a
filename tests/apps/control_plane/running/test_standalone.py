"""A standalone control plane, real Envoys, real apps: requests flow and follow the files.

Shows the whole chain on one host. It does not show mutual TLS to the control plane, which standalone mode has not.
"""

import time
from typing import Any

import pytest

pytestmark = pytest.mark.envoy


def test_a_request_passes_edge_sidecar_and_app(mesh: Any) -> None:
    with mesh.client() as client:
        answer = client.get("/web/info").json()
        assert answer["instance_id"] == "one"
        assert answer["via"] == ["edge/edge/edge-1", "service/web/one"]
        assert client.get("/nothing").status_code == 404
    nodes = mesh.console.get("/nodes").json()
    assert sorted(node["id"] for node in nodes["nodes"]) == ["edge/edge/edge-1", "service/web/one", "service/web/two"]
    assert all(not status["nacked"] for node in nodes["nodes"] for status in node["types"].values())
    assert 'mesh_control_plane_endpoints{role="service",service="web",state="serving"} 1.0' in mesh.metrics()


def test_traffic_follows_the_endpoints_file_and_nothing_fails(mesh: Any) -> None:
    with mesh.load("/web/info") as load:
        mesh.wait_for(lambda: load.answers["one"] > 20)
        mesh.write_endpoints(one=False, two=False)
        joined = mesh.wait_for(lambda: load.answers["two"] > 0)
        mesh.write_endpoints(one=True, two=False)
        time.sleep(1)
        before = load.answers["one"]
        time.sleep(0.5)
        assert load.answers["one"] == before, "a draining machine got new requests"
        mesh.write_endpoints(two=False)
        mesh.stop("envoy-one", kill=True)
        mesh.stop("app-one", kill=True)
        time.sleep(1)
    print(f"joined after {joined:.2f} s; {dict(load.answers)}; failed {len(load.failed)}")
    assert not load.failed, load.failed[:3]


def test_a_new_route_is_live_soon_and_a_broken_file_changes_nothing(mesh: Any) -> None:
    with mesh.load("/web/info") as load, mesh.client() as client:
        mesh.write_mesh("/web", "/new")
        took = mesh.wait_for(lambda: client.get("/new/info").status_code == 200)
        mesh.write("mesh.yaml", {"domain": "x"})
        mesh.wait_for(lambda: "mesh_control_plane_document_refused 1.0" in mesh.metrics())
        assert client.get("/new/info").status_code == 200
    print(f"route live after {took:.2f} s; {dict(load.answers)}; failed {len(load.failed)}")
    assert took < 2
    assert not load.failed, load.failed[:3]


def test_a_dead_control_plane_hurts_nobody_and_its_return_sends_what_is_new(mesh: Any) -> None:
    with mesh.load("/web/info") as load, mesh.client() as client:
        mesh.stop("control-plane", kill=True)
        mesh.write_mesh("/web", "/later")
        time.sleep(1)
        assert client.get("/later/info").status_code == 404
        mesh.start_standalone()
        took = mesh.wait_for(lambda: client.get("/later/info").status_code == 200)
    print(f"route live {took:.2f} s after the control plane was ready; failed {len(load.failed)}")
    assert not load.failed, load.failed[:3]
