"""Bucket policies: moto looks at no `Condition`, so a rule that denies plain HTTP would deny everything."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from local.cloud.patching import wrap

PLAIN_HTTP_ONLY = {"Bool": {"aws:SecureTransport": "false"}}
"""The condition of a statement about requests without TLS; on this machine's loopback the question does not arise."""


def install() -> None:
    from moto.s3.models import FakeBucket

    wrap(FakeBucket, "get_permission", _without_transport_rules)


def _without_transport_rules(get_permission: Callable[..., Any]) -> Callable[..., Any]:
    def permission(self: Any, action: str, resource: str) -> Any:
        policy, self_policy = json.loads(self.policy) if self.policy else None, self.policy
        if policy is None:
            return get_permission(self, action, resource)
        statements = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
        kept = [statement for statement in statements if not _about_plain_http(statement)]
        self.policy = json.dumps(policy | {"Statement": kept}).encode()
        try:
            return get_permission(self, action, resource)
        finally:
            self.policy = self_policy

    return permission


def _about_plain_http(statement: Mapping[str, Any]) -> bool:
    return statement.get("Condition") == PLAIN_HTTP_ONLY
