"""The control plane as a machine of a stack runs it: moto for AWS, mutual TLS to real Envoys, everything from the environment."""

import json
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any

import boto3
import httpx
import psutil
import pytest
from cryptography import x509

from model import contract
from model.contract import Role
from tests.servers import moto_here

pytestmark = [pytest.mark.envoy, pytest.mark.components]
REGION, BUCKET = "eu-central-1", "mesh-t"


class Cloud:
    """A stack `t` in moto, whose machines have the addresses that the processes of the test listen on."""

    def __init__(self, endpoint: str, cidr: str) -> None:
        self.environment = {"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": "t", "AWS_SECRET_ACCESS_KEY": "t"}
        session = boto3.Session(aws_access_key_id="t", aws_secret_access_key="t", region_name=REGION)
        self.ec2: Any = session.client("ec2", endpoint_url=endpoint)
        self.s3: Any = session.client("s3", endpoint_url=endpoint)
        self.ssm: Any = session.client("ssm", endpoint_url=endpoint)
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        network = self.ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
        self.subnet = self.ec2.create_subnet(VpcId=network, CidrBlock=cidr)["Subnet"]["SubnetId"]

    def run(self, role: Role, service: str, address: str) -> str:
        tags = {contract.TAG_STACK: "t", contract.TAG_ROLE: role, contract.TAG_SERVICE: service}
        answer = self.ec2.run_instances(
            ImageId="ami-0123456789abcdef0",
            MinCount=1,
            MaxCount=1,
            SubnetId=self.subnet,
            PrivateIpAddress=address,
            TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}],
        )
        return str(answer["Instances"][0]["InstanceId"])

    def write_document(self, data: dict[str, Any]) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=contract.DOCUMENT_KEY, Body=json.dumps(data).encode())

    def write_edge_tls(self, chain: str, key: str) -> None:
        for item, value in (("certificate", chain), ("key", key)):
            self.ssm.put_parameter(Name=contract.edge_tls_parameter("t", item), Value=value, Type="SecureString", Overwrite=True)


@pytest.fixture
def cloud(document: Callable[..., dict[str, Any]]) -> Iterator[Cloud]:
    with moto_here() as url:
        yield Cloud(url, document("/")["mesh"]["network"]["cidr"])


@pytest.fixture
def stack(host: Any, cloud: Cloud, document: Callable[..., dict[str, Any]]) -> Any:
    """A running stack: control plane, edge, one machine of `web`; `host.instances` names them."""
    places = {"control-plane": host.control_plane, "edge": host.edge, "web": host.one}
    roles = {"control-plane": Role.CONTROL_PLANE, "edge": Role.EDGE, "web": Role.SERVICE}
    host.instances = {name: cloud.run(roles[name], name, address) for name, address in places.items()}
    for name, role in roles.items():
        host.authority.write_identity(host.directory / name, role, name)
    cloud.write_document(document("/web"))
    cloud.write_edge_tls(*host.authority.issue_for_address(host.edge))
    host.start_control_plane(
        **cloud.environment,
        MESH_STACK="t",
        MESH_BUCKET=BUCKET,
        MESH_DOMAIN="t.mesh.internal",
        MESH_INSTANCE_ID=host.instances["control-plane"],
        MESH_ADDRESS=host.control_plane,
        MESH_ROOT=str(host.directory / "control-plane"),
    )
    host.start_app(host.instances["web"], host.one)
    host.start_envoy(Role.SERVICE, "web", host.instances["web"], host.one, root=host.directory / "web")
    host.start_envoy(Role.EDGE, "edge", host.instances["edge"], host.edge, root=host.directory / "edge")
    with host.client() as client:
        host.wait_for(lambda: client.get("/web/info").status_code == 200)
    return host


def children_of_control_plane(host: Any) -> list[psutil.Process]:
    process: subprocess.Popen[bytes] = host._processes["control-plane"]
    return psutil.Process(process.pid).children()


def test_a_route_is_live_within_two_seconds_of_the_documents_write(
    stack: Any, cloud: Cloud, document: Callable[..., dict[str, Any]]
) -> None:
    times = []
    with stack.load("/web/info") as load, stack.client() as client:
        for number in range(3):
            path = f"/new-{number}"
            cloud.write_document(document("/web", path))
            times.append(stack.wait_for(lambda path=path: client.get(f"{path}/info").status_code == 200))
    print(f"live after {', '.join(f'{taken:.2f}' for taken in times)} s; failed {len(load.failed)} of {sum(load.answers.values())}")
    assert max(times) < 2
    assert not load.failed, load.failed[:3]


def test_a_terminated_machine_leaves_within_a_sweep_and_a_new_one_joins(stack: Any, cloud: Cloud) -> None:
    new = cloud.run(Role.SERVICE, "web", stack.two)
    stack.authority.write_identity(stack.directory / "two", Role.SERVICE, "web")
    stack.start_app(new, stack.two)
    stack.start_envoy(Role.SERVICE, "web", new, stack.two, root=stack.directory / "two")
    with stack.load("/web/info") as load:
        joined = stack.wait_for(lambda: load.answers[new] > 0)
        cloud.ec2.terminate_instances(InstanceIds=[stack.instances["web"]])
        gone = 'mesh_control_plane_endpoints{role="service",service="web",state="serving"} 1.0'
        left = stack.wait_for(lambda: gone in stack.metrics())
        time.sleep(0.5)
        before = load.answers[stack.instances["web"]]
        time.sleep(0.5)
        assert load.answers[stack.instances["web"]] == before
    print(f"joined {joined:.2f} s, left {left:.2f} s after the call; {dict(load.answers)}; failed {len(load.failed)}")
    assert left < 1.6
    assert not load.failed, load.failed[:3]


def test_a_cloud_that_fails_or_forgets_everything_costs_no_request(stack: Any, cloud: Cloud) -> None:
    with stack.load("/web/info") as load:
        httpx.post(f"{cloud.environment['AWS_ENDPOINT_URL']}/moto-api/reset")
        stack.wait_for(lambda: 'code="EmptyAnswer"' in stack.metrics())
        children_of_control_plane(stack)[0].kill()
        stack.wait_for(lambda: "mesh_control_plane_discovery_restarts_total 1.0" in stack.metrics())
        time.sleep(3)
    assert not load.failed, load.failed[:3]
    assert load.answers[stack.instances["web"]] > 100


def test_a_machine_is_served_only_as_what_its_certificate_says(stack: Any) -> None:
    stack.start_envoy(Role.EDGE, "edge", "i-impostor", stack.two, root=stack.directory / "web")
    stack.wait_for(lambda: 'mesh_xds_refusals_total{reason="permission_denied"}' in stack.metrics())
    nodes = stack.console.get("/nodes").json()["nodes"]
    assert sorted(node["id"] for node in nodes) == sorted([f"edge/edge/{stack.instances['edge']}", f"service/web/{stack.instances['web']}"])


def test_a_stopped_control_plane_leaves_no_process(stack: Any) -> None:
    children = children_of_control_plane(stack)
    assert len(children) == 1
    stack.stop("control-plane")
    assert not any(child.is_running() for child in children)


def test_a_renewed_certificate_reaches_the_edge_without_a_restart_and_a_bad_one_does_not(stack: Any, cloud: Cloud) -> None:
    """Acceptance 177, for the edge: the connections that are open go on."""
    serials = [serial_shown(stack)]
    with stack.load("/web/info") as load, connect(stack) as held:
        ask(held, "/web/info")
        chain, key = stack.authority.issue_for_address(stack.edge)
        cloud.write_edge_tls(chain, key)
        took = stack.wait_for(lambda: serial_shown(stack) != serials[0])
        serials.append(serial_shown(stack))
        other_chain, _ = stack.authority.issue_for_address(stack.edge)
        cloud.write_edge_tls(other_chain, key)
        refused = 'mesh_control_plane_certificates_refused_total{certificate="default",reason="key"} 1.0'
        stack.wait_for(lambda: refused in stack.metrics())
        assert serial_shown(stack) == serials[1]
        assert 'mesh_control_plane_certificate_refused{certificate="default"} 1.0' in stack.metrics()
        ask(held, "/web/info")
    print(f"the renewed certificate was shown {took:.1f} s after its write; {sum(load.answers.values())} requests meanwhile")
    assert not load.failed, load.failed[:3]
    assert 'mesh_certificate_expiry_seconds{certificate="default"}' in stack.metrics()


def test_a_domain_gets_its_own_certificate_from_ssm_while_the_edge_serves(
    stack: Any, cloud: Cloud, document: Callable[..., dict[str, Any]]
) -> None:
    before = serial_shown(stack, "shop.example.com")
    chain, key = stack.authority.issue(x509.DNSName("shop.example.com"))
    for name, value in zip(contract.certificate_parameters("/team/shop"), (chain, key), strict=True):
        cloud.ssm.put_parameter(Name=name, Value=value, Type="SecureString")
    data = document("/web")
    data["mesh"]["edge"]["tls"] = {"certificates": [{"domains": ["shop.example.com"], "secret": "/team/shop"}]}
    with stack.load("/web/info") as load:
        cloud.write_document(data)
        stack.wait_for(lambda: serial_shown(stack, "shop.example.com") != before)
    assert not load.failed, load.failed[:3]
    assert serial_shown(stack) == before


def serial_shown(host: Any, name: str | None = None) -> int:
    """The serial number of the certificate that the edge shows to a new connection."""
    with connect(host, name) as connection:
        return x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"").serial_number


def connect(host: Any, name: str | None = None) -> ssl.SSLSocket:
    """A connection to the edge; its certificate is the test's to look at."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with host.client() as client:
        port = client.base_url.port
    return context.wrap_socket(socket.create_connection((host.edge, port), timeout=5), server_hostname=name)


def ask(connection: ssl.SSLSocket, path: str) -> None:
    """A request over this very connection, which stays open."""
    client = HTTPConnection("edge")
    client.sock = connection
    client.request("GET", path)
    answer = client.getresponse()
    answer.read()
    assert answer.status == 200
    assert client.sock is connection
