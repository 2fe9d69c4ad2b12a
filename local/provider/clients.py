"""boto3 clients of one moto server, made when first needed and shared by the provider's threads."""

import threading
from collections import defaultdict
from typing import Any

ACCOUNT = "123456789012"
"""moto's account unless it is told otherwise."""


class Clients:
    """Clients by service and region; every one talks to `endpoint` with dummy credentials and to nothing else."""

    def __init__(self, endpoint: str, region: str) -> None:
        self.endpoint = endpoint
        self.region = region
        self.account = ACCOUNT
        self._lock = threading.Lock()
        self._used = threading.Event()
        self._session: Any = None
        self._clients: dict[tuple[str, str], Any] = {}
        self._stamped: dict[str, dict[str, dict[str, dict[str, str]]]] = {}

    def get(self, service: str, region: str | None = None) -> Any:
        key = (service, region or self.region)
        if not self._used.is_set():
            self._used.set()
            threading.Thread(target=self._warm, name="provider-warm", daemon=True).start()
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._make(*key)
            return self._clients[key]

    def _make(self, service: str, region: str) -> Any:
        import boto3  # 0.4 s: not before the plugin serves
        from botocore.config import Config

        if self._session is None:
            self._session = boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name=self.region)
        config = Config(
            max_pool_connections=64,
            retries={"total_max_attempts": 1},
            connect_timeout=5,
            read_timeout=120,
            proxies={},
            parameter_validation=False,
            s3={"addressing_style": "path"},
        )
        return self._session.client(service, region_name=region, endpoint_url=self.endpoint, config=config)

    def _warm(self) -> None:
        """Loads the clients that nearly every deployment needs, in its order; one that changes nothing needs none (0.7 s)."""
        for service in ("ec2", "iam", "s3", "ssm", "autoscaling", "secretsmanager"):
            self.get(service)

    def stamped(self, region: str, tag: str) -> dict[str, dict[str, dict[str, str]]]:
        """EC2 resources that carried `tag` when first asked: tag value -> resource id -> tags.

        One call a process, since only what an earlier process left behind is of interest.
        """
        ec2 = self.get("ec2", region)
        with self._lock:
            if region not in self._stamped:
                tags: dict[str, dict[str, str]] = defaultdict(dict)
                for page in ec2.get_paginator("describe_tags").paginate(Filters=[{"Name": "key", "Values": ["mesh:*"]}]):
                    for item in page["Tags"]:
                        tags[item["ResourceId"]][item["Key"]] = item["Value"]
                by_value: dict[str, dict[str, dict[str, str]]] = defaultdict(dict)
                for resource_id, values in tags.items():
                    if tag in values:
                        by_value[values[tag]][resource_id] = values
                self._stamped[region] = dict(by_value)
            return self._stamped[region]


def is_missing(error: Exception) -> bool:
    """Whether an AWS error says that the resource does not exist."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return False
    code = str(response.get("Error", {}).get("Code", ""))
    message = str(response.get("Error", {}).get("Message", ""))
    if code == "ValidationError":
        return "not found" in message
    return code in _MISSING or code.endswith((".NotFound", "NotFoundException", ".NotFoundException")) or code.startswith("NoSuch")


_MISSING = {
    "404",
    "ParameterNotFound",
    "ServerSideEncryptionConfigurationNotFoundError",
    "InvalidAllocationID.NotFound",
    "InvalidGroup.NotFound",
    "InvalidVpcEndpointId.NotFound",
    "InvalidLaunchTemplateId.NotFound",
    "NatGatewayNotFound",
}
