"""AWS clients of plain botocore: short timeouts, few retries, one session a process.

Importing this module costs about 15 MB and a client up to 20 MB more: only the discovery child and the agent do.
"""

import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

AwsError = (BotoCoreError, ClientError)
"""What a call may raise: no answer, or an answer that is an error."""

CONFIG = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})

_making = threading.Lock()


def aws_client(service: str, env: Mapping[str, str]) -> Any:
    """A client for the region, the endpoint and the credentials that `env` names; the instance role's where it names none."""
    with _making:
        return _client(
            service,
            env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION"),
            env.get("AWS_ENDPOINT_URL"),
            env.get("AWS_ACCESS_KEY_ID"),
            env.get("AWS_SECRET_ACCESS_KEY"),
            env.get("AWS_SESSION_TOKEN"),
        )


def error_code(error: Exception) -> str:
    """AWS's own code of an error (`Throttling`), or the name of the exception when there was no answer."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "Unknown"))
    return type(error).__name__


@lru_cache
def _session() -> Any:
    return botocore.session.get_session()


@lru_cache
def _client(service: str, region: str | None, endpoint: str | None, key: str | None, secret: str | None, token: str | None) -> Any:
    return _session().create_client(
        service,
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=CONFIG,
    )
