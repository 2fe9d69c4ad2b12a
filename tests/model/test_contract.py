"""Names that all parts share must survive being written and read back."""

import pytest

from model.contract import NodeId, Role, database_secret, spiffe_id, tls_parameter


def test_a_node_id_is_read_back_as_it_was_written() -> None:
    node = NodeId(Role.SERVICE, "service-1", "i-0abc")
    assert str(node) == "service/service-1/i-0abc"
    assert NodeId.parse(str(node)) == node


@pytest.mark.parametrize("text", ["", "edge", "edge/edge", "edge/edge/", "edge//i-1", "edge/edge/i-1/x", "router/edge/i-1"])
def test_a_text_that_is_no_node_id_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(ValueError, match="is not <role>/<service>/<instance>"):
        NodeId.parse(text)


def test_secrets_of_one_stack_are_below_its_own_path() -> None:
    assert tls_parameter("dev", Role.EDGE, "edge", "key") == "/envoy-mesh/dev/tls/edge/edge/key"
    assert database_secret("dev", "service-1") == "/envoy-mesh/dev/database/service-1"


def test_a_spiffe_id_names_role_and_service() -> None:
    assert spiffe_id("dev.mesh.internal", Role.SERVICE, "service-1") == "spiffe://dev.mesh.internal/service/service-1"
