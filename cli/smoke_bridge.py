"""What `./mesh smoke` tries on bridges: JSON through the edge to a gRPC service."""

from collections import Counter

import httpx

from cli.finding import Finding, failure
from model.edge import BridgeSpec

SAMPLE_PROTO = "apps/protos/info.proto"
"""Its `GET /v1/info` says which machine answered; of another proto only that unknown methods are refused can be judged."""
NO_METHOD = "/no-such-method-of-the-mesh"
ROUNDS = 4
"""Requests per instance: enough to meet each in turn."""


async def bridged(client: httpx.AsyncClient, edge: str, name: str, bridge: BridgeSpec, instances: set[str]) -> list[Finding]:
    """A path that no method has, and for the sample's proto one that leads to every healthy instance."""
    path = bridge.prefix + NO_METHOD
    expected = "404" if bridge.auth == "public" else "401"
    seen, _ = await _ask(client, path)
    findings = [Finding(edge=edge, what=f"{path} → {name}", expected=expected, seen=seen, ok=seen == expected)]
    if bridge.proto == SAMPLE_PROTO and bridge.auth == "public":
        path, count = f"{bridge.prefix}/v1/info", ROUNDS * max(len(instances), 1)
        answers = [await _ask(client, path) for _ in range(count)]
        statuses, seen_by = Counter(status for status, _ in answers), {instance for _, instance in answers}
        findings.append(
            Finding(
                edge=edge,
                what=f"{path} → {name}",
                expected=f"{count} × 200, {len(instances)} instances",
                seen=", ".join([f"{number} × {status}" for status, number in statuses.items()] + [f"{len(seen_by)} instances"]),
                ok=statuses == {"200": count} and seen_by == instances,
            )
        )
    return findings


async def _ask(client: httpx.AsyncClient, path: str) -> tuple[str, str]:
    try:
        answer = await client.get(path)
        return str(answer.status_code), answer.json()["instanceId"] if answer.is_success else ""
    except httpx.HTTPError as error:
        return failure(error), ""
    except (ValueError, KeyError):
        return "no JSON of the sample", ""
