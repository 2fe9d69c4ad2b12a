"""A node is what its certificate says, never what it says itself."""

import pytest

from apps.control_plane.authorization import by_certificate
from apps.control_plane.node import Node
from model.contract import NodeId


@pytest.mark.parametrize(
    ("node", "certificate", "served"),
    [
        ("service/web/i-1", "spiffe://t.internal/service/web", True),
        ("edge/edge/i-1", "spiffe://t.internal/edge/edge", True),
        ("service/pay/i-1", "spiffe://t.internal/service/web", False),
        ("edge/edge/i-1", "spiffe://t.internal/service/edge", False),
        ("service/web/i-1", "spiffe://other.internal/service/web", False),
        ("service/web/i-1", None, False),
        ("outer-edge/us-east-1/i-1", "spiffe://t.internal/outer-edge/us-east-1", True),
        ("outer-edge/us-east-1/i-1", "spiffe://t.internal/outer-edge/ap-south-1", False),
        ("outer-edge/us-east-1/i-1", "spiffe://t.internal/edge/edge", False),
        ("edge/edge/i-1", "spiffe://t.internal/outer-edge/us-east-1", False),
    ],
)
def test_role_and_service_must_be_those_of_the_certificate(node: str, certificate: str | None, served: bool) -> None:
    denied = by_certificate("t.internal")(Node(NodeId.parse(node)), certificate)
    assert (denied is None) is served
    assert denied is None or node in denied
