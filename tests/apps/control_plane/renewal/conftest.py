"""Route 53, S3 and SSM in a moto server."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from tests.servers import moto_here

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
    with moto_here() as url:
        session = boto3.Session(aws_access_key_id="t", aws_secret_access_key="t", region_name="eu-central-1")
        clients: dict[str, Any] = {name: session.client(name, endpoint_url=url) for name in ("s3", "ssm", "route53")}  # type: ignore[call-overload]
        clients["s3"].create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        yield Cloud(**clients)
