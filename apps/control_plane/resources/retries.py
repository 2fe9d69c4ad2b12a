"""Which requests may be sent again, and when.

`gateway-error` covers the sidecar that answers 503 because its app died a moment earlier (`503` is no `retry_on` token).
"""

from datetime import timedelta

from envoy.config.route.v3.route_components_pb2 import RetryPolicy
from envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2 import PreviousHostsPredicate
from google.protobuf.wrappers_pb2 import UInt32Value

from apps.control_plane.resources.protos import duration, pack

IDEMPOTENT_METHODS = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE")
"""RFC 9110 §9.2.2."""

_NEVER_REACHED = "connect-failure,refused-stream"
_MAY_HAVE_REACHED = f"{_NEVER_REACHED},reset,gateway-error"
_RETRIES = 3
_DRAWS = 4
"""Redraws when round robin gives a host that was asked before. Once all were, the last draw stands: an even number makes two machines
take turns, so that no request fails thrice at one, which would eject it; an odd one gives the same machine each time."""
_BACK_OFF = timedelta(milliseconds=25)
_BACK_OFF_LIMIT = timedelta(milliseconds=250)


def idempotent() -> RetryPolicy:
    """For methods that may run twice: also after a reset or a gateway error, on another host."""
    return _elsewhere(_MAY_HAVE_REACHED)


def once() -> RetryPolicy:
    """For all else: only where the request cannot have reached an app."""
    return _elsewhere(_NEVER_REACHED)


def between_edges(policy: RetryPolicy) -> RetryPolicy:
    """The same from an outer edge to the origin, where a gateway error is an answer: the origin has tried other hosts itself."""
    result = RetryPolicy()
    result.CopyFrom(policy)
    result.retry_on = ",".join(condition for condition in policy.retry_on.split(",") if condition != "gateway-error")
    return result


def to_app() -> RetryPolicy:
    """For a sidecar's own app, which has no other host."""
    return _policy("connect-failure")


def _elsewhere(retry_on: str) -> RetryPolicy:
    policy = _policy(retry_on)
    policy.retry_host_predicate.add(name="envoy.retry_host_predicates.previous_hosts", typed_config=pack(PreviousHostsPredicate()))
    policy.host_selection_retry_max_attempts = _DRAWS
    return policy


def _policy(retry_on: str) -> RetryPolicy:
    return RetryPolicy(
        retry_on=retry_on,
        num_retries=UInt32Value(value=_RETRIES),
        retry_back_off=RetryPolicy.RetryBackOff(base_interval=duration(_BACK_OFF), max_interval=duration(_BACK_OFF_LIMIT)),
    )
