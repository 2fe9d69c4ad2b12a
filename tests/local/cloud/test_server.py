"""The server in front of moto: one request at a time, repeated reads kept, subscribers told."""

import contextlib
import http.client
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import Cloud

pytestmark = pytest.mark.components


def test_any_credentials_are_accepted(account: Any) -> None:
    assert account.client("sts").get_caller_identity()["Account"] == "123456789012"


def test_subscribers_hear_of_changes_and_not_of_reads(account: Any, eventually: Any) -> None:
    heard = threading.Event()
    account.cloud.subscribe(heard.set)
    account.ec2.describe_instances()
    account.s3.list_buckets()
    assert not heard.is_set()
    hook = {"LifecycleHookName": "ready", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING", "HeartbeatTimeout": 1}
    account.scaling_group(account.template(), 1, LifecycleHookSpecificationList=[hook | {"DefaultResult": "CONTINUE"}])
    assert heard.is_set()
    heard.clear()
    assert heard.wait(3), "the end of a heartbeat is a change too"


def test_a_repeated_read_sees_every_change(account: Any) -> None:
    group = account.scaling_group(account.template(), 1)
    for size in (3, 2, 5, 0):
        account.asg.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=size)
        assert len(account.members(group)) == size
        tag = [{"Name": "tag:aws:autoscaling:groupName", "Values": [group]}, {"Name": "instance-state-name", "Values": ["running"]}]
        found = account.ec2.describe_instances(Filters=tag)["Reservations"]
        assert sum(len(reservation["Instances"]) for reservation in found) == size


def test_regions_do_not_share_a_kept_read(account: Any) -> None:
    elsewhere = account.client("ec2", region="us-east-1")
    assert account.ec2.describe_vpcs()["Vpcs"]
    assert elsewhere.describe_vpcs()["Vpcs"] == []


def test_parallel_callers_get_what_they_asked_for(account: Any) -> None:
    subnet = account.subnet("127.77.40.0/24")
    group = account.scaling_group(account.template(), 0)

    def work(number: int) -> str:
        made = account.ec2.create_security_group(GroupName=f"parallel-{number}", Description="-", VpcId=account.vpc)["GroupId"]
        machine = account.run(SubnetId=subnet, SecurityGroupIds=[made])
        account.asg.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=number % 12)
        if number % 3 == 0:
            account.ec2.terminate_instances(InstanceIds=[machine["InstanceId"]])
        return str(machine["PrivateIpAddress"])

    with ThreadPoolExecutor(12) as pool:
        addresses = list(pool.map(work, range(30)))
    assert len(set(addresses)) == 30
    account.asg.set_desired_capacity(AutoScalingGroupName=group, DesiredCapacity=5)
    assert len(account.members(group)) == 5
    running = [m for m in account.cloud.instances() if m.subnet_id == subnet and m.state == "running"]
    assert len(running) == 20


def test_a_connection_serves_many_requests(account: Any) -> None:
    connection = http.client.HTTPConnection(account.cloud.url.removeprefix("http://"))
    connection.connect()
    socket = connection.sock
    for _ in range(3):
        connection.request("GET", "/", headers={"Authorization": "AWS4-HMAC-SHA256 Credential=local/20250101/eu-central-1/s3/aws4_request"})
        response = connection.getresponse()
        assert (response.status, response.read()[:5]) == (200, b"<?xml")
        assert connection.sock is socket
    connection.close()


@pytest.mark.parametrize(
    ("service", "call", "arguments"),
    [
        ("ec2", "describe_instances", {"Filters": [{"Name": "no-such-filter", "Values": ["x"]}]}),
        ("autoscaling", "describe_account_limits", {}),
        ("ssm", "describe_instance_patches", {"InstanceId": "i-0123456789abcdef0"}),
    ],
)
def test_what_moto_cannot_do_is_said_in_the_callers_protocol(account: Any, service: str, call: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match=r"InternalFailure.*NotImplementedError"):
        getattr(account.client(service), call)(**arguments)


@pytest.fixture(scope="module")
def bucket(account: Any) -> str:
    account.s3.create_bucket(Bucket="documents", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    return "documents"


class TestDocuments:
    """The conditional requests of S3 by which control planes share state; moto honours them, the cache must too."""

    def test_an_unchanged_object_is_not_sent_again(self, account: Any, bucket: str) -> None:
        tag = account.s3.put_object(Bucket=bucket, Key="mesh.json", Body=b"one")["ETag"]
        for _ in range(2):
            with pytest.raises(ClientError) as error:
                account.s3.get_object(Bucket=bucket, Key="mesh.json", IfNoneMatch=tag)
            assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 304
        account.s3.put_object(Bucket=bucket, Key="mesh.json", Body=b"two")
        assert account.s3.get_object(Bucket=bucket, Key="mesh.json", IfNoneMatch=tag)["Body"].read() == b"two"
        assert account.s3.head_object(Bucket=bucket, Key="mesh.json")["ContentLength"] == 3

    def test_one_of_many_creates_an_object(self, account: Any, bucket: str) -> None:
        def create(number: int) -> int:
            connection = http.client.HTTPConnection(account.cloud.url.removeprefix("http://"))
            scope = "AWS4-HMAC-SHA256 Credential=local/20250101/eu-central-1/s3/aws4_request"
            headers = {"Authorization": scope, "If-None-Match": "*"}
            connection.request("PUT", f"/{bucket}/holder", str(number), headers)
            with contextlib.closing(connection):
                return connection.getresponse().status

        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(create, range(8))) == [200] + 7 * [412]

    def test_an_object_is_sent_without_a_wait(self, account: Any, bucket: str) -> None:
        began = time.perf_counter()
        account.s3.put_object(Bucket=bucket, Key="quick", Body=b"-")
        assert time.perf_counter() - began < 0.5, "the client waits a second for 100 Continue"

    def test_an_object_is_replaced_only_as_it_was_read(self, account: Any, bucket: str) -> None:
        old = account.s3.put_object(Bucket=bucket, Key="pin", Body=b"one")["ETag"]
        account.s3.put_object(Bucket=bucket, Key="pin", Body=b"two", IfMatch=old)
        with pytest.raises(ClientError, match="PreconditionFailed"):
            account.s3.put_object(Bucket=bucket, Key="pin", Body=b"three", IfMatch=old)
        assert account.s3.get_object(Bucket=bucket, Key="pin")["Body"].read() == b"two"


def test_a_second_cloud_in_a_process_is_refused(account: Any) -> None:
    with pytest.raises(RuntimeError, match=account.cloud.url):
        Cloud("eu-central-1", IPv4Network("127.78.0.0/16")).start()
