"""Moves the edge's Elastic IP to this machine once its Envoy serves, so that the old edge answers until then."""

import time
import urllib.error
import urllib.request
from collections.abc import Mapping

import structlog

from apps.agent.config import AgentConfig
from apps.common.aws import AwsError, aws_client, error_code
from apps.common.errors import MeshError
from model import contract

PAUSE_SECONDS = 0.5

log = structlog.get_logger()


def associate(config: AgentConfig, env: Mapping[str, str]) -> None:
    """Waits for Envoy without a limit (an edge that is not ready must not take the address), then associates."""
    if config.allocation is None:
        raise MeshError("agent.json has no `allocation`: `associate` runs on edges only, each with its Elastic IP's allocation id")
    wait_until_ready(f"http://{env['MESH_ADDRESS']}:{contract.METRICS_PORT}/ready")
    request = {"AllocationId": config.allocation, "InstanceId": env["MESH_INSTANCE_ID"], "AllowReassociation": True}
    while True:
        try:
            aws_client("ec2", env).associate_address(**request)
        except AwsError as error:
            log.warning("cannot associate the address yet", allocation=config.allocation, code=error_code(error), reason=str(error))
            time.sleep(PAUSE_SECONDS * 4)
        else:
            log.info("address associated", allocation=config.allocation, instance=env["MESH_INSTANCE_ID"])
            return


def wait_until_ready(url: str) -> None:
    """Returns when the URL answers 200."""
    while True:
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(PAUSE_SECONDS)
