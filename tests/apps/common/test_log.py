"""The log is key=value and cannot show a private key."""

import pytest

from apps.common.log import REDACTED, redact

KEY = "-----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        ({"password": "x"}, {"password": REDACTED}),
        ({"reason": f"cannot read {KEY} here"}, {"reason": f"cannot read {REDACTED} here"}),
        ({"reason": KEY[:40]}, {"reason": REDACTED}),
        ({"node": "edge/edge/i-1"}, {"node": "edge/edge/i-1"}),
    ],
)
def test_secrets_are_taken_out_of_every_event(event: dict[str, object], shown: dict[str, object]) -> None:
    assert redact(None, "info", event) == shown
