"""An outer edge near the client pays: held to what the distances alone say, since loopback adds next to nothing."""

import pytest

from bench.double_proxy import run

pytestmark = pytest.mark.slow


def test_a_handshake_near_the_client_and_a_kept_connection_behind_it_save_round_trips() -> None:
    """Direct: TCP, TLS and the request are three round trips of 80 ms. Through an outer edge two of them are 10 ms."""
    found = run(client_to_origin=0.08, client_to_outer=0.01, outer_to_origin=0.07, rounds=5)
    direct, double = found["direct"], found["double"]
    print(found)
    assert direct["handshake"] >= 160
    assert double["handshake"] >= 20
    assert direct["handshake"] / double["handshake"] > 3
    assert direct["first"] / double["first"] > 1.5
    assert double["next"] >= 80, "the way itself is no shorter"
