"""What `./mesh smoke` tries on bridges: JSON through the edge to a gRPC service."""

import httpx

from cli.finding import Finding
from cli.smoke_balance import balanced
from cli.smoke_door import Door, status
from model.edge import BridgeSpec

SAMPLE_PROTO = "apps/protos/info.proto"
"""Its `GET /v1/info` says which machine answered; of another proto only that unknown methods are refused can be judged."""
NO_METHOD = "/no-such-method-of-the-mesh"


async def bridged(door: Door, name: str, bridge: BridgeSpec, instances: set[str]) -> list[Finding]:
    """A path that no method has, and for the sample's proto one that leads to every healthy instance."""
    path = bridge.prefix + NO_METHOD
    findings = [await door.finding(f"{path} → {name}", "404" if bridge.auth == "public" else "401", path, status)]
    if bridge.proto == SAMPLE_PROTO and bridge.auth == "public":
        path = f"{bridge.prefix}/v1/info"
        findings.append(await balanced(door, f"{path} → {name}", path, instances, _instance))
    return findings


def _instance(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["instanceId"])
    except (ValueError, KeyError, TypeError):
        return ""
