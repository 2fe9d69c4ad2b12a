"""Reads SSM parameters and Secrets Manager secrets by name, waiting for those that a deployment has yet to write."""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import structlog

from apps.agent.config import SecretSource
from apps.common.aws import AwsError, aws_client, error_code
from apps.common.errors import MeshError

PATIENCE = timedelta(minutes=2)
"""A machine may boot before its profile's credentials work or before the last parameter is written."""
PAUSE_SECONDS = 0.5
SSM_BATCH = 10
"""Names that one GetParameters call takes."""

log = structlog.get_logger()


def read_values(
    sources: Iterable[SecretSource], env: Mapping[str, str], *, patience: timedelta = PATIENCE
) -> dict[SecretSource, str]:
    """The value of every source; raises MeshError naming what is still missing when patience ends."""
    wanted = set(sources)
    values: dict[SecretSource, str] = {}
    deadline = time.monotonic() + patience.total_seconds()
    while True:
        reasons: dict[SecretSource, str] = {}
        values.update(_read_parameters([source for source in wanted if source.parameter], env, reasons))
        values.update(_read_secrets([source for source in wanted if source.secret], env, reasons))
        wanted -= values.keys()
        if not wanted:
            return values
        missing = "; ".join(sorted(f"{source}: {reasons[source]}" for source in wanted))
        if time.monotonic() >= deadline:
            raise MeshError(
                f"cannot read {missing}; the stack writes them, and the machine's role must allow it to read exactly these"
            )
        log.info("waiting for secrets", missing=missing)
        time.sleep(PAUSE_SECONDS)


def _read_parameters(
    sources: Sequence[SecretSource], env: Mapping[str, str], reasons: dict[SecretSource, str]
) -> dict[SecretSource, str]:
    values: dict[SecretSource, str] = {}
    for start in range(0, len(sources), SSM_BATCH):
        batch = {str(source.parameter): source for source in sources[start : start + SSM_BATCH]}
        try:
            answer: dict[str, Any] = aws_client("ssm", env).get_parameters(Names=sorted(batch), WithDecryption=True)
        except AwsError as error:
            reasons.update(dict.fromkeys(batch.values(), error_code(error)))
            continue
        values.update({batch[item["Name"]]: item["Value"] for item in answer["Parameters"]})
        reasons.update({batch[name]: "ParameterNotFound" for name in answer.get("InvalidParameters", [])})
    return values


def _read_secrets(
    sources: Sequence[SecretSource], env: Mapping[str, str], reasons: dict[SecretSource, str]
) -> dict[SecretSource, str]:
    values: dict[SecretSource, str] = {}
    for source in sources:
        try:
            values[source] = aws_client("secretsmanager", env).get_secret_value(SecretId=source.secret)["SecretString"]
        except AwsError as error:
            reasons[source] = error_code(error)
    return values
