"""Starting and stopping: an account is empty, a stopped cloud is gone."""

import socket
from ipaddress import IPv4Network
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

from local.cloud import Cloud
from tests.servers import moto_here

RANGE = IPv4Network("127.78.0.0/16")


@pytest.mark.components
def test_every_start_begins_with_an_empty_account_and_a_stop_frees_the_port() -> None:
    for _ in range(2):
        cloud = Cloud("eu-central-1", RANGE)
        cloud.start()
        ec2 = client(cloud.url)
        assert ec2.describe_vpcs()["Vpcs"] == []
        ec2.create_vpc(CidrBlock=str(RANGE))
        address = urlsplit(cloud.url)
        cloud.stop()
        cloud.stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address.hostname, address.port or 0))


def test_a_cloud_that_is_not_started_says_so() -> None:
    cloud = Cloud("eu-central-1", RANGE)
    with pytest.raises(RuntimeError, match="not started"):
        cloud.instances()
    with pytest.raises(RuntimeError, match="not started"):
        _ = cloud.url


def test_after_a_stop_moto_is_as_it_came() -> None:
    """Other tests of the process may use moto itself."""
    from moto.autoscaling.responses import AutoScalingResponse
    from moto.ec2.models import ec2_backends
    from moto.ec2.models.elastic_ip_addresses import ElasticAddress, ElasticAddressBackend

    before = ElasticAddressBackend.allocate_address
    cloud = Cloud("eu-central-1", RANGE)
    cloud.start()
    assert ElasticAddressBackend.allocate_address is not before
    assert not ec2_backends["123456789012"]["eu-central-1"].vpcs
    cloud.stop()
    assert ElasticAddressBackend.allocate_address is before
    assert not hasattr(ElasticAddress, "instance")
    assert not hasattr(AutoScalingResponse, "complete_lifecycle_action")
    assert ec2_backends["123456789012"]["eu-central-1"].vpcs


@pytest.mark.components
def test_a_plain_server_of_the_process_has_nothing_that_a_cloud_left() -> None:
    cloud = Cloud("eu-central-1", RANGE)
    cloud.start()
    assert client(cloud.url).describe_vpcs()["Vpcs"] == []
    cloud.stop()
    with moto_here() as url:
        assert [vpc["IsDefault"] for vpc in client(url).describe_vpcs()["Vpcs"]] == [True]


def client(url: str) -> Any:
    connect: Any = boto3.client
    return connect("ec2", "eu-central-1", endpoint_url=url, aws_access_key_id="local", aws_secret_access_key="local")
