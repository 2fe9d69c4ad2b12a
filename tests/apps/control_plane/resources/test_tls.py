"""Certificates by SNI and routes by domain, then what a real edge does with them."""

import socket
import ssl
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from cryptography import x509
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import DownstreamTlsContext

from apps.control_plane import type_urls
from apps.control_plane.build import resources_for
from apps.control_plane.model import TlsKeyPair, World
from apps.control_plane.snapshot import Snapshot
from model.contract import Role

SHOP, PAY, OTHER = "shop.example.com", "pay.example.com", "dev.mesh.internal"
HTTPS, HTTP = 18443, 18080
EDGE = {
    "instances": 1,
    "https": HTTPS,
    "http": HTTP,
    "tls": {"certificates": [{"domains": [SHOP, "www.example.com"], "secret": "/team/shop"}, {"domains": [PAY], "secret": "/team/pay"}]},
}
SERVICES: dict[str, dict[str, Any]] = {
    "web": {"routes": [{"prefix": "/", "strip": False}]},
    "shop": {"port": 8081, "routes": [{"prefix": "/", "domains": [SHOP]}, {"prefix": "/cart", "domains": [SHOP, PAY]}]},
    "pay": {"port": 8082, "routes": [{"prefix": "/", "domains": [PAY]}]},
}


@pytest.fixture(scope="module")
def spec(spec_of: Callable[..., Any]) -> Any:
    health = {"path": "/health"}
    return spec_of(edge=EDGE, **{name: service | {"health": health} for name, service in SERVICES.items()})


@pytest.fixture(scope="module")
def pairs(key_pair: Callable[..., TlsKeyPair]) -> dict[str, TlsKeyPair]:
    return {"/team/shop": key_pair(SHOP, "www.example.com"), "/team/pay": key_pair(PAY)}


def edge_of(spec: Any, node_of: Callable[..., Any], **known: Any) -> dict[str, Any]:
    return resources_for(World(spec=spec, stack="t", **known), node_of(Role.EDGE, "edge"))


def chains_of(resources: dict[str, Any]) -> dict[str, list[str]]:
    """Secret → server names, of each filter chain."""
    listener: Listener = resources[type_urls.LISTENER]["edge-https"]
    found = {}
    for chain in listener.filter_chains:
        context = DownstreamTlsContext()
        assert chain.transport_socket.typed_config.Unpack(context)
        (secret,) = context.common_tls_context.tls_certificate_sds_secret_configs
        found[secret.name] = list(chain.filter_chain_match.server_names)
    return found


def test_each_certificate_has_a_filter_chain_for_its_domains_and_a_secret(
    spec: Any, node_of: Callable[..., Any], key_pair: Callable[..., TlsKeyPair], pairs: dict[str, TlsKeyPair]
) -> None:
    """Acceptance 15, R13."""
    built = edge_of(spec, node_of, edge_tls=key_pair(), certificates=pairs)
    assert chains_of(built) == {
        "edge-tls": [],
        "edge-tls:/team/shop": [SHOP, "www.example.com"],
        "edge-tls:/team/pay": [PAY],
    }
    assert built[type_urls.SECRET].keys() == {"edge-tls", "edge-tls:/team/shop", "edge-tls:/team/pay"}
    Snapshot.of(built).check_consistent()


def test_a_certificate_that_is_not_there_leaves_its_domains_to_the_default_one(
    spec: Any, node_of: Callable[..., Any], key_pair: Callable[..., TlsKeyPair], pairs: dict[str, TlsKeyPair]
) -> None:
    built = edge_of(spec, node_of, edge_tls=key_pair(), certificates={"/team/pay": pairs["/team/pay"], "/gone": key_pair()})
    assert chains_of(built) == {"edge-tls": [], "edge-tls:/team/pay": [PAY]}
    assert built[type_urls.SECRET].keys() == {"edge-tls", "edge-tls:/team/pay"}
    Snapshot.of(built).check_consistent()


def test_only_edges_get_certificates(
    spec: Any, node_of: Callable[..., Any], key_pair: Callable[..., TlsKeyPair], pairs: dict[str, TlsKeyPair]
) -> None:
    world = World(spec=spec, stack="t", edge_tls=key_pair(), certificates=pairs)
    assert not resources_for(world, node_of(Role.SERVICE, "shop"))[type_urls.SECRET]


def test_a_domain_has_its_own_routes_and_those_for_all(spec: Any, node_of: Callable[..., Any]) -> None:
    config: RouteConfiguration = edge_of(spec, node_of)[type_urls.ROUTE]["edge"]
    found = {
        host.name: list(dict.fromkeys(route.name for route in host.routes if route.HasField("route"))) for host in config.virtual_hosts
    }
    assert found == {
        "mesh": ["web:/"],
        PAY: ["shop:/cart", "pay:/", "web:/"],
        SHOP: ["shop:/cart", "shop:/", "web:/"],
    }
    assert [list(host.domains) for host in config.virtual_hosts] == [["*"], [PAY], [SHOP]]
    assert config.ignore_port_in_host_matching


@pytest.fixture(scope="module")
def lab(lab_of: Callable[[Any], Any], spec: Any, pairs: dict[str, TlsKeyPair]) -> Any:
    lab = lab_of(spec)
    lab.known["certificates"] = pairs
    lab.edge = lab.add(Role.EDGE, "edge")
    lab.names = {lab.add(Role.SERVICE, name): name for name in spec.services}
    lab.start()
    return lab


def connect(lab: Any, name: str | None, *, protocols: tuple[str, ...] = (), **versions: Any) -> ssl.SSLSocket:
    """A handshake that looks at no name; the certificate is the test's to look at."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    for key, value in versions.items():
        setattr(context, key, value)
    raw = socket.create_connection((lab.edge, HTTPS), timeout=5)
    return context.wrap_socket(raw, server_hostname=name)


def names_shown(lab: Any, name: str | None) -> list[str]:
    with connect(lab, name) as connection:
        certificate = x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.DNSName)


def get(lab: Any, domain: str, path: str, *, sni: str | None = None) -> httpx.Response:
    with httpx.Client(verify=False, timeout=5) as client:
        extensions = {"sni_hostname": sni or domain}
        return client.get(f"https://{lab.edge}:{HTTPS}{path}", headers={"host": f"{domain}:{HTTPS}"}, extensions=extensions)


@pytest.mark.envoy
def test_15_each_domain_has_its_own_certificate_and_its_own_backends(lab: Any) -> None:
    """Acceptance 15, but for TLS passthrough, which the mesh does not have."""
    assert names_shown(lab, SHOP) == names_shown(lab, "www.example.com") == [SHOP, "www.example.com"]
    assert names_shown(lab, SHOP.upper()) == [SHOP, "www.example.com"]
    assert names_shown(lab, PAY) == [PAY]
    assert names_shown(lab, OTHER) == names_shown(lab, None) == []
    for domain, path, service in (
        (SHOP, "/x", "shop"),
        (PAY, "/x", "pay"),
        (OTHER, "/x", "web"),
        (SHOP, "/cart/1", "shop"),
        (PAY, "/cart/1", "shop"),
        (OTHER, "/cart/1", "web"),
        (SHOP.upper(), "/x", "shop"),
    ):
        answer = get(lab, domain, path)
        assert answer.status_code == 200
        assert lab.names[answer.json()["address"]] == service, (domain, path)


@pytest.mark.envoy
def test_13_the_app_hears_that_the_client_spoke_tls(lab: Any) -> None:
    """Acceptance 13; what is not TLS is redirected, and no TLS is passed through."""
    assert get(lab, SHOP, "/x").json()["headers"]["x-forwarded-proto"] == "https"


@pytest.mark.envoy
def test_14_one_port_offers_http2_and_http1(lab: Any) -> None:
    """Acceptance 14."""
    for offered, taken in ((("h2", "http/1.1"), "h2"), (("http/1.1",), "http/1.1"), ((), None)):
        with connect(lab, SHOP, protocols=offered) as connection:
            assert connection.selected_alpn_protocol() == taken


@pytest.mark.envoy
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_before_1_2_and_ciphers_without_forward_secrecy_are_refused(lab: Any) -> None:
    """`seclevel=0`, or OpenSSL itself would refuse them on our side."""
    for refused in (
        {"minimum_version": ssl.TLSVersion.TLSv1_1, "maximum_version": ssl.TLSVersion.TLSv1_1},
        {"maximum_version": ssl.TLSVersion.TLSv1_2, "ciphers": "AES128-GCM-SHA256:AES256-SHA:@SECLEVEL=0"},
        {"maximum_version": ssl.TLSVersion.TLSv1_2, "ciphers": "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"},
    ):
        with pytest.raises(ssl.SSLError) as caught:
            handshake(lab, **refused)
        assert "ALERT" in caught.value.reason, "the refusal is not the edge's"
    assert handshake(lab, maximum_version=ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    assert handshake(lab) == "TLSv1.3"


def handshake(lab: Any, *, ciphers: str = "DEFAULT:@SECLEVEL=0", **versions: Any) -> str | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers(ciphers)
    for key, value in versions.items():
        setattr(context, key, value)
    with socket.create_connection((lab.edge, HTTPS), timeout=5) as raw, context.wrap_socket(raw, server_hostname=SHOP) as connection:
        return connection.version()


@pytest.mark.envoy
def test_16_the_tls_inspector_counts_what_it_found(lab: Any) -> None:
    """Acceptance 16."""
    counters = ("alpn_found", "sni_found", "tls_found", "tls_not_found")

    def counts() -> list[int]:
        seen = lab.statistics(lab.edge)
        return [int(seen.get(f"tls_inspector.{name}", 0)) for name in counters]

    before = counts()
    for protocol in ("http/1.1", "h2"):
        connect(lab, SHOP, protocols=(protocol,)).close()
    with socket.create_connection((lab.edge, HTTPS), timeout=5) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert b"HTTP" not in plain.recv(1024)
    assert [after - then for after, then in zip(counts(), before, strict=True)] == [2, 2, 2, 1]


@pytest.mark.envoy
def test_18_plain_http_is_redirected_to_the_same_host_path_and_query(lab: Any) -> None:
    """Acceptance 18; the port of the TLS listener is named, since it is not 443."""
    answer = httpx.get(f"http://{lab.edge}:{HTTP}/a%20b//c?d=%2F&e=", headers={"host": SHOP})
    assert answer.status_code == 301
    assert answer.headers["location"] == f"https://{SHOP}:{HTTPS}/a%20b//c?d=%2F&e="
