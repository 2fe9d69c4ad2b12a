"""Connections: mutual TLS, clients that do not read, storms, stops, and bytes that are not HTTP/2."""

import datetime
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from cryptography import x509
from prometheus_client import CollectorRegistry, generate_latest

from apps.control_plane.tls import ServerTls
from apps.control_plane.type_urls import CLUSTER, ENDPOINT
from tests.authority import LIFE, Authority

PATIENCE = 5.0
AUTHORITY, STRANGER = Authority(), Authority()
SPIFFE = "spiffe://dev.mesh.internal/service/service-1"


class Pair(NamedTuple):
    certificate: bytes
    key: bytes


def issued(*names: str, by: Authority = AUTHORITY, left: datetime.timedelta = LIFE) -> Pair:
    alternatives = [x509.UniformResourceIdentifier(name) if "://" in name else x509.DNSName(name) for name in names]
    return Pair(*(text.encode() for text in by.issue(*alternatives, left=left)))


EXPIRED = issued(SPIFFE, left=-datetime.timedelta(minutes=1))


def by_role(node: Any, identity: str | None) -> str | None:
    wanted = f"spiffe://dev.mesh.internal/{node.id.role}/{node.id.service}"
    return None if identity == wanted else f"{identity} may not be {node.id}"


@pytest.fixture
def secured(serve: Callable[..., Any], make: Any, tmp_path: Path) -> Any:
    pair = issued("localhost", "spiffe://dev.mesh.internal/control-plane/control-plane")
    for name, content in (("ca", AUTHORITY.pem.encode()), ("certificate", pair.certificate), ("key", pair.key)):
        (tmp_path / name).write_bytes(content)
    tls = ServerTls(ca=tmp_path / "ca", certificate=tmp_path / "certificate", key=tmp_path / "key")
    served = serve(tls=tls, authorize=by_role)
    served.publish(make.mesh())
    return served


def channel_to(served: Any, pair: Pair | None) -> grpc.Channel:
    key, certificate = (pair.key, pair.certificate) if pair else (None, None)
    credentials = grpc.ssl_channel_credentials(AUTHORITY.pem.encode(), key, certificate)
    options = [("grpc.ssl_target_name_override", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.secure_channel(f"127.0.0.1:{served.port}", credentials, options=options)


def test_a_certificate_of_the_node_s_role_and_service_is_served(secured: Any, connect: Any) -> None:
    stream = connect(secured, delta=True, channel=channel_to(secured, issued(SPIFFE)))
    stream.ask(CLUSTER)
    assert len(stream.answer().resources) == 2


@pytest.mark.parametrize(
    "names",
    [
        ("spiffe://dev.mesh.internal/service/other",),
        ("spiffe://dev.mesh.internal/edge/service-1",),
        ("localhost",),
        (SPIFFE, "spiffe://dev.mesh.internal/edge/edge"),
    ],
    ids=["another service's", "another role's", "none", "two"],
)
def test_a_certificate_with_another_identity_is_denied_and_counted(secured: Any, connect: Any, names: tuple[str, ...]) -> None:
    stream = connect(secured, delta=True, channel=channel_to(secured, issued(*names)))
    stream.ask(CLUSTER)
    with pytest.raises(grpc.RpcError) as caught:
        stream.answer()
    assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED  # type: ignore[attr-defined]
    assert "may not be service/service-1/i-1" in caught.value.details()  # type: ignore[attr-defined]
    assert secured.server.counters.refusals == {"permission_denied": 1}
    assert secured.watched() == 0


@pytest.mark.parametrize("pair", [None, issued(SPIFFE, by=STRANGER), EXPIRED], ids=["no certificate", "another CA", "expired"])
def test_a_client_without_a_valid_certificate_of_our_ca_is_not_connected_but_counted(secured: Any, connect: Any, pair: Pair | None) -> None:
    stream = connect(secured, delta=True, channel=channel_to(secured, pair))
    stream.ask(CLUSTER)
    with pytest.raises(grpc.RpcError) as caught:
        stream.answer()
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]
    assert secured.server.counters.refusals["tls"] >= 1


def test_a_plain_client_gets_nothing_from_a_tls_server(secured: Any) -> None:
    with socket.create_connection(("127.0.0.1", secured.port), timeout=PATIENCE) as plain:
        plain.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert b"HTTP" not in plain.recv(1024)


def test_plain_text_is_refused_off_loopback(serve: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"xDS on 10\.0\.0\.1 without TLS: plain text is served on loopback only"):
        serve(address="10.0.0.1")


def test_bytes_that_are_not_http2_close_their_connection_only(served: Any, connect: Any, make: Any) -> None:
    served.publish(make.mesh())
    with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE) as broken:
        broken.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 10)
        while broken.recv(4096):
            pass
    stream = connect(served)
    stream.ask(CLUSTER)
    assert stream.answer().type_url == CLUSTER


def test_a_request_that_does_not_parse_ends_only_its_own_stream(served: Any, connect: Any, make: Any) -> None:
    served.publish(make.mesh())
    channel = grpc.insecure_channel(f"127.0.0.1:{served.port}")
    good = connect(served, channel=channel)
    good.ask(CLUSTER)
    good.answer()
    method = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
    with pytest.raises(grpc.RpcError) as caught:
        list(channel.stream_stream(method)(iter([b"\xff\xff\xff"])))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT  # type: ignore[attr-defined]
    good.ask(ENDPOINT, ("service-1",))
    assert good.answer().type_url == ENDPOINT


def test_a_reconnect_storm_loses_no_stream(served: Any, connect: Any, make: Any) -> None:
    served.publish(make.mesh())
    streams = [connect(served, delta=True, node=f"service/service-1/i-{number}") for number in range(200)]
    for stream in streams:
        stream.ask(CLUSTER)
    for stream in streams:
        stream.ack(stream.answer())
    newest = served.publish(make.mesh(version=2))
    assert {stream.answer().system_version_info for stream in streams} == {newest.version(CLUSTER)}
    assert len(served.nodes()) == 200


def test_155_publishers_and_subscribers_at_once_come_to_rest_in_one_state(served: Any, connect: Any, make: Any) -> None:
    served.publish(make.mesh())
    ends: list[str] = []

    def follow(number: int) -> None:
        stream = connect(served, delta=True, node=f"service/service-1/i-{number}")
        stream.ask(CLUSTER)
        version = ""
        while version != final:
            response = stream.answer()
            version = response.system_version_info
            stream.ack(response)
        ends.append(version)

    final = served.publish(make.mesh(version=50)).version(CLUSTER)
    served.publish(make.mesh())
    followers = [threading.Thread(target=follow, args=(number,)) for number in range(25)]
    publishers = [
        threading.Thread(target=lambda start=start: [served.publish(make.mesh(version=start + step)) for step in range(4)])
        for start in range(1, 26)
    ]
    for thread in followers + publishers:
        thread.start()
    for thread in publishers:
        thread.join(PATIENCE)
    served.publish(make.mesh(version=50))
    for thread in followers:
        thread.join(PATIENCE)
    assert ends == [final] * 25


def test_a_stop_ends_streams_as_unavailable_and_frees_the_port(serve: Callable[..., Any], connect: Any, make: Any) -> None:
    served = serve()
    served.publish(make.mesh())
    stream = connect(served)
    stream.ask(CLUSTER)
    stream.answer()
    began = time.monotonic()
    served.loop.run(served.server.stop(datetime.timedelta(seconds=3)))
    assert time.monotonic() - began < 1
    with pytest.raises(grpc.RpcError) as caught:
        stream.answer()
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]
    assert caught.value.details() == "this control plane is stopping"  # type: ignore[attr-defined]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", served.port), timeout=1)


def test_a_source_that_fails_changes_nothing_and_the_good_snapshot_stands(
    served: Any, connect: Any, make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = served.publish(make.mesh())
    stream = connect(served)
    stream.ask(CLUSTER)
    assert stream.answer().version_info == good.version(CLUSTER)
    served.settle()
    with monkeypatch.context() as patch:
        patch.setattr(served.shelf, "snapshot_for", lambda _node: 1 / 0)
        served.publish(make.mesh(version=2))
        assert stream.is_silent()
    assert served.server.cache.refused == 1


def test_metrics_tell_pushes_acks_and_nacks(served: Any, connect: Any, make: Any) -> None:
    registry = CollectorRegistry()
    served.server.counters.register(registry)
    served.publish(make.mesh())
    stream = connect(served)
    stream.ask(CLUSTER)
    stream.ack(stream.answer())
    served.publish(make.mesh(version=2))
    stream.ack(stream.answer(), error="no")
    assert stream.is_silent()
    page = generate_latest(registry).decode()
    for line in (
        'mesh_xds_pushes_total{type="Cluster"} 2.0',
        'mesh_xds_acks_total{type="Cluster"} 1.0',
        'mesh_xds_nacks_total{node="service/service-1/i-1",type="Cluster"} 1.0',
        'mesh_xds_streams{api="sotw"} 1.0',
        "mesh_xds_snapshots_not_served_total 0.0",
    ):
        assert line in page
    assert 'mesh_xds_node_rejecting{node="service/service-1/i-1",type="Cluster"' in page
