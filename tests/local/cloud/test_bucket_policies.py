"""A bucket policy is obeyed, but for the rule about plain HTTP that loopback cannot keep."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.components


def policy(**statement: Any) -> str:
    base = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": ["arn:aws:s3:::guarded", "arn:aws:s3:::guarded/*"]}
    return json.dumps({"Version": "2012-10-17", "Statement": [base | statement]})


def test_a_tls_only_bucket_is_read_over_loopback_and_another_denial_still_counts(account: Any) -> None:
    s3 = account.s3
    s3.create_bucket(Bucket="guarded", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    s3.put_object(Bucket="guarded", Key="k", Body=b"v")
    s3.put_bucket_policy(Bucket="guarded", Policy=policy(Condition={"Bool": {"aws:SecureTransport": "false"}}))
    assert s3.get_object(Bucket="guarded", Key="k")["Body"].read() == b"v"
    s3.put_bucket_policy(Bucket="guarded", Policy=policy(Action="s3:GetObject"))
    with pytest.raises(ClientError, match=r"Forbidden|AccessDenied"):
        s3.get_object(Bucket="guarded", Key="k")
