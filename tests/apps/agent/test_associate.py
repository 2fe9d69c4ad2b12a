"""An edge takes its Elastic IP, from the machine that had it, only once its Envoy is ready."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import boto3
import pytest

from apps.agent.associate import associate
from apps.agent.config import AgentConfig
from model import contract


@pytest.mark.components
def test_the_address_moves_only_when_envoy_is_ready(cloud: dict[str, str], session: boto3.Session) -> None:
    ec2 = session.client("ec2", endpoint_url=cloud["AWS_ENDPOINT_URL"])
    image = ec2.register_image(Name="a machine")["ImageId"]
    old, new = (item["InstanceId"] for item in ec2.run_instances(ImageId=image, MinCount=2, MaxCount=2)["Instances"])
    allocation = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=allocation, InstanceId=old)
    asked = threading.Event()
    ready = threading.Event()

    class Envoy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if ready.is_set() else 503)
            self.end_headers()
            asked.set()

        def log_message(self, *_: object) -> None:
            return

    address = "127.20.77.4"
    with HTTPServer((address, contract.METRICS_PORT), Envoy) as envoy:
        threading.Thread(target=envoy.serve_forever, daemon=True).start()
        env = {**cloud, "MESH_ADDRESS": address, "MESH_INSTANCE_ID": new}
        agent = threading.Thread(target=associate, args=(AgentConfig(allocation=allocation), env))
        agent.start()
        assert asked.wait(10)
        assert ec2.describe_addresses(AllocationIds=[allocation])["Addresses"][0]["InstanceId"] == old
        ready.set()
        agent.join(10)
        envoy.shutdown()
    assert not agent.is_alive()
    assert ec2.describe_addresses(AllocationIds=[allocation])["Addresses"][0]["InstanceId"] == new
    with socket.socket() as probe:
        assert probe.connect_ex((address, contract.METRICS_PORT)) != 0
