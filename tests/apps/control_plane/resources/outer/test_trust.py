"""Who is believed between an outer edge and the mesh's own, and what each says of the client."""

import time
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import UpstreamTlsContext

from apps.control_plane.resources.protos import pack
from model.contract import Role
from tests.authority import Authority
from tests.origin_port import said_at_origin

pytestmark = pytest.mark.envoy

REGION = "us-east-1"
HTTP = {"port": 9080, "health": {"path": "/health"}}
CLIENT = "127.0.0.8"
CAUSES = ("fail_verify_no_cert", "fail_verify_san", "fail_verify_error")


@pytest.fixture(scope="module")
def double(double_of: Any) -> Any:
    limited = {"prefix": "/limited", "rateLimits": [{"requests": 2, "per": "1m", "by": "client"}]}
    double = double_of(web=HTTP | {"routes": [{"prefix": "/web"}, limited]})
    double.add_edges(origin=2, outer=2)
    double.lab.add(Role.SERVICE, "web")
    double.lab.start()
    return double


@pytest.fixture
def client(double: Any, fresh: Any) -> httpx.Client:
    made: httpx.Client = fresh(double)
    return made


def test_a_request_goes_through_both_proxies_and_says_so(double: Any, client: httpx.Client) -> None:
    """Acceptance 86, with the mesh's own app for the one that asks a database."""
    response = client.get("/web/info")
    seen = response.json()
    assert (response.status_code, seen["path"]) == (200, "/info")
    via = [part.strip() for line in seen["via"] for part in line.split(",")]
    assert [part.rpartition("/")[0] for part in via] == [f"1.1 outer-edge/{REGION}", "1.1 edge/edge", "1.1 service/web"]


def test_the_app_sees_the_same_of_a_request_whichever_way_it_came(double: Any, client: httpx.Client) -> None:
    with double.lab.client(double.edges[0], transport=double.transport()) as direct:
        near, far = (one.get("/web/x?y=1", headers={"host": "shop"}).json() for one in (direct, client))
    told = {"via", "x-request-id", "x-forwarded-client-cert"}
    assert {name: value for name, value in far["headers"].items() if name not in told} == {
        name: value for name, value in near["headers"].items() if name not in told
    }
    assert far["headers"]["x-forwarded-for"] == CLIENT
    assert far["headers"]["x-forwarded-proto"] == "https"
    assert "x-forwarded-client-cert" not in near["headers"]


def test_a_request_id_is_the_same_for_the_client_both_edges_and_the_app(double: Any, client: httpx.Client) -> None:
    response = client.get("/web", headers={"x-request-id": "forged"})
    (answered,) = response.headers.get_list("x-request-id")
    assert UUID(answered)
    assert response.json()["headers"]["x-request-id"] == answered
    double.lab.wait_for_log(double.outers[0], answered)
    eventually(lambda: any(answered in double.lab.log(edge).read_text() for edge in double.edges))


def test_answers_have_each_header_once(client: httpx.Client) -> None:
    for response in (client.get("/web"), client.get("/nowhere")):
        names = [name.lower() for name, _ in response.headers.raw]
        assert len(names) == len(set(names)), names
        assert response.headers["x-frame-options"] == "DENY"


def test_what_a_client_says_of_itself_is_dropped_at_the_outer_edge(double: Any, client: httpx.Client) -> None:
    """Acceptance 92: an app that is told of a certificate is told of the outer edge's."""
    forged = {
        "x-forwarded-for": "1.2.3.4",
        "x-forwarded-proto": "http",
        "x-forwarded-client-cert": "Hash=00;URI=spiffe://evil",
        "x-envoy-external-address": "1.2.3.4",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "x-envoy-max-retries": "9",
        "via": "1.1 evil",
        "forwarded": "for=1.2.3.4",
        "x-real-ip": "1.2.3.4",
    }
    headers = client.get("/web", headers=forged).json()["headers"]
    assert headers["x-forwarded-for"] == CLIENT
    assert headers["x-forwarded-proto"] == "https"
    assert "evil" not in str(headers)
    assert not {"forwarded", "x-real-ip", "x-envoy-upstream-rq-timeout-ms", "x-envoy-max-retries"} & set(headers)
    assert "1.2.3.4" not in str(headers)
    certificate = x509.load_pem_x509_certificate((double.lab.directory / double.outers[0] / "run/mesh/tls/certificate.pem").read_bytes())
    domain, hash_of = "spiffe://dev.mesh.internal", certificate.fingerprint(hashes.SHA256()).hex()
    told = f'By={domain}/edge/edge;Hash={hash_of};Subject="CN=machine";URI={domain}/outer-edge/{REGION}'
    assert headers["x-forwarded-client-cert"] == told


def test_a_limit_by_client_counts_clients_not_outer_edges_and_once(double: Any, client: httpx.Client) -> None:
    """Two of one address pass each edge of the origin; another client of the same outer edge has tokens of its own."""
    answers = [client.get("/limited").status_code for _ in range(8)]
    assert answers.count(200) == 4
    assert set(answers[4:]) <= {200, 429}
    with double.client(transport=double.transport("127.0.0.9")) as other:
        assert other.get("/limited").status_code == 200


def test_nothing_is_answered_on_the_origins_port_without_a_certificate_of_an_outer_edge(double: Any, tmp_path: Path) -> None:
    """Acceptance 87, 88, 89: no certificate, one of the mesh that is no outer edge's, and an outer edge's of another CA."""
    lab, edge = double.lab, double.edges[0]
    attempts = {
        "fail_verify_no_cert": None,
        "fail_verify_san": lab.authority.write_identity(tmp_path / "other", Role.SERVICE, "web"),
        "fail_verify_error": Authority().write_identity(tmp_path / "foreign", Role.OUTER_EDGE, REGION),
    }
    for cause, keys in attempts.items():
        before = {name: double.count(f"listener.edge-origin.ssl.{name}", edge) for name in CAUSES}
        assert said_at_origin(edge, keys) == b""
        after = {name: double.count(f"listener.edge-origin.ssl.{name}", edge) for name in CAUSES}
        assert after == before | {cause: before[cause] + 1}
    allowed = said_at_origin(edge, lab.authority.write_identity(tmp_path / "outer", Role.OUTER_EDGE, REGION))
    assert allowed.startswith(b"\x00\x00"), "an outer edge's own gets HTTP/2 settings"


def test_an_outer_edge_without_the_right_certificate_answers_503_by_itself_and_is_counted(double_of: Any) -> None:
    """Acceptance 87, 88: and an edge that is no edge of the mesh gets nothing from an outer one."""
    double = double_of(web=HTTP | {"routes": [{"prefix": "/web"}]})
    double.add_edges(origin=2, outer=4)
    lab, (good, stranger) = double.lab, double.edges
    right, wrong_name, foreign, bare = double.outers
    lab.add(Role.SERVICE, "web")
    lab.authority.write_identity(lab.directory / stranger, Role.SERVICE, "web")
    lab.authority.write_identity(lab.directory / wrong_name, Role.OUTER_EDGE, "ap-south-1")
    lab.authority.write_identity(lab.directory / foreign, Role.OUTER_EDGE, REGION, issuer=Authority())
    lab.edits[bare] = without_certificate
    lab.start(healthy=False)
    with double.client(0) as client:
        eventually(lambda: client.get("/web").status_code == 200)
        assert all(client.get("/web").status_code == 200 for _ in range(10))
    assert double.count("cluster.origin.ssl.fail_verify_san", right) >= 1
    assert "1.1 edge/edge" in str(client_sees(double, 0))
    for number, cause in ((1, "fail_verify_san"), (2, "fail_verify_error"), (3, "fail_verify_no_cert")):
        eventually(lambda cause=cause: double.count(f"listener.edge-origin.ssl.{cause}", good) >= 1)
        with double.client(number) as client:
            answer = client.get("/web", headers={"accept": "application/json"})
        assert answer.status_code == 503
        assert answer.json()["requestId"] == answer.headers["x-request-id"]
    assert double.count("http.edge-origin.downstream_rq_total", stranger) == 0


def client_sees(double: Any, number: int) -> Any:
    with double.client(number) as client:
        return client.get("/web").json()["via"]


def without_certificate(config: Bootstrap) -> None:
    for cluster in config.static_resources.clusters:
        context = UpstreamTlsContext()
        if cluster.transport_socket.typed_config.Unpack(context):
            del context.common_tls_context.tls_certificate_sds_secret_configs[:]
            cluster.transport_socket.typed_config.CopyFrom(pack(context))


def eventually(condition: Any) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)
