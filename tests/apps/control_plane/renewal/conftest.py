"""Route 53, S3 and SSM in a moto server."""

import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

BUCKET = "mesh-t"


@dataclass(frozen=True)
class Cloud:
    s3: Any
    ssm: Any
    route53: Any
    bucket: str = BUCKET

    def zone(self, name: str, **more: Any) -> str:
        """A public zone, or with `more` another one."""
        answer = self.route53.create_hosted_zone(Name=name, CallerReference=f"{name} {more}", **more)
        return str(answer["HostedZone"]["Id"])

    def texts(self, zone: str) -> dict[str, str]:
        """Name → value of the zone's TXT records."""
        records = self.route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        return {item["Name"]: item["ResourceRecords"][0]["Value"] for item in records if item["Type"] == "TXT"}


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")).close()
    session = boto3.Session(aws_access_key_id="t", aws_secret_access_key="t", region_name="eu-central-1")
    clients: dict[str, Any] = {name: session.client(name, endpoint_url=endpoint) for name in ("s3", "ssm", "route53")}  # type: ignore[call-overload]
    clients["s3"].create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    yield Cloud(**clients)
    server.stop()
