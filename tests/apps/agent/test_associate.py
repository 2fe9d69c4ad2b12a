"""An edge takes its Elastic IP, from the machine that had it, only once its Envoy is ready."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import IPv4Network
from typing import Any

import boto3
import pytest

from apps.agent.associate import associate
from apps.agent.config import AgentConfig
from model import contract

PATIENCE = 30


@pytest.mark.components
def test_the_address_moves_only_when_envoy_is_ready(
    cloud: dict[str, str], session: boto3.Session, loopback: IPv4Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.ec2.responses.elastic_ip_addresses import ElasticIPAddresses

    ec2 = session.client("ec2", endpoint_url=cloud["AWS_ENDPOINT_URL"])
    image = ec2.register_image(Name="a machine")["ImageId"]
    old, new = (item["InstanceId"] for item in ec2.run_instances(ImageId=image, MinCount=2, MaxCount=2)["Instances"])
    allocation = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=allocation, InstanceId=old)
    asked = threading.Semaphore(0)
    ready = threading.Event()
    happened: list[str] = []

    class Envoy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = 200 if ready.is_set() else 503
            happened.append(f"{self.path} {status}")
            self.send_response(status)
            self.end_headers()
            asked.release()

        def log_message(self, *_: object) -> None:
            return

    def moves(response: Any, by_moto: Any = ElasticIPAddresses.associate_address) -> Any:
        happened.append("moves")
        return by_moto(response)

    monkeypatch.setattr(ElasticIPAddresses, "associate_address", moves)
    address = str(loopback[4])
    with HTTPServer((address, contract.METRICS_PORT), Envoy) as envoy:
        threading.Thread(target=envoy.serve_forever, daemon=True).start()
        env = {**cloud, "MESH_ADDRESS": address, "MESH_INSTANCE_ID": new}
        agent = threading.Thread(target=associate, args=(AgentConfig(allocation=allocation), env), daemon=True)
        agent.start()
        for _ in range(2):
            assert asked.acquire(timeout=PATIENCE), f"Envoy was not asked within {PATIENCE} s: {happened}"
        assert ec2.describe_addresses(AllocationIds=[allocation])["Addresses"][0]["InstanceId"] == old
        ready.set()
        agent.join(PATIENCE)
        envoy.shutdown()
    assert not agent.is_alive(), f"the agent goes on after {PATIENCE} s: {happened}"
    assert ec2.describe_addresses(AllocationIds=[allocation])["Addresses"][0]["InstanceId"] == new
    *before, ready_at_last, move = happened
    assert (set(before), ready_at_last, move) == ({"/ready 503"}, "/ready 200", "moves")
