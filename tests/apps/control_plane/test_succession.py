"""Of control planes that are to be replaced one always goes on serving; each replica decides alone."""

from collections.abc import Iterable
from datetime import timedelta

import pytest

from apps.control_plane.discovery.machines import Machine
from apps.control_plane.lifecycle import HEARTBEAT_SECONDS, Deed, Duties
from apps.control_plane.succession import may_go

DRAIN = 20.0


def plane(instance: str, lifecycle: str | None = "InService", *, address: str = "10.0.0.4", reachable: bool = True) -> Machine:
    return Machine(
        instance=instance,
        role="control-plane",
        service="control-plane",
        address=address,
        zone="a",
        reachable=reachable,
        group="g",
        lifecycle=lifecycle,
    )


A, B = plane("i-a", "Terminating:Wait"), plane("i-b", "Terminating:Wait", address="10.0.0.5")
NEW_A = plane("i-z", "Pending:Wait", reachable=False)


@pytest.mark.parametrize(
    ("machines", "serving", "goes"),
    [
        pytest.param([plane("i-a"), plane("i-b")], {"i-a", "i-b"}, None, id="nobody waits"),
        pytest.param([A, plane("i-b")], {"i-a", "i-b"}, "i-a", id="the other one serves"),
        pytest.param([A, plane("i-b")], {"i-a"}, None, id="the other one does not answer"),
        pytest.param([A, B], {"i-a", "i-b"}, "i-a", id="both wait: the first goes"),
        pytest.param([A, B], {"i-a"}, None, id="both wait, the second does not answer"),
        pytest.param([A, B], {"i-b"}, "i-a", id="both wait, the first does not answer"),
        pytest.param([B, NEW_A], {"i-b"}, None, id="the first one's successor boots"),
        pytest.param([B, plane("i-z", "Pending:Wait")], {"i-b", "i-z"}, "i-b", id="the first one's successor answers"),
        pytest.param([B, plane("i-z")], {"i-b", "i-z"}, "i-b", id="the first one's successor serves"),
        pytest.param([B, plane("i-a", "Terminating:Proceed")], {"i-a", "i-b"}, None, id="the other one is on its way out"),
        pytest.param([B, plane("i-a", "Terminating")], {"i-a", "i-b"}, None, id="the other one begins to go"),
        pytest.param([B], {"i-b"}, None, id="the other one died"),
        pytest.param([A, B, plane("i-z")], {"i-a", "i-b", "i-z"}, "i-a", id="one at a time, whoever serves"),
    ],
)
def test_the_first_of_those_that_wait_goes_while_another_serves(machines: list[Machine], serving: set[str], goes: str | None) -> None:
    assert may_go(machines, serving) == goes


def test_machines_of_other_roles_are_no_successors() -> None:
    edge = Machine(instance="i-e", role="edge", service="edge", address="10.0.0.9", zone="a", group="e", lifecycle="InService")
    assert may_go([A, edge], {"i-a", "i-e"}) is None


class Replica:
    """One control plane's duties, and what it was told of the world by its last look."""

    def __init__(self) -> None:
        self.duties = Duties(drain=timedelta(seconds=DRAIN))

    def completes(self, machines: Iterable[Machine], serving: Iterable[str] | None, now: float) -> list[str]:
        known = None if serving is None else set(serving)
        due = self.duties.due(tuple(machines), ready=frozenset(), now=now, serving=known)
        return [duty.instance for duty in due if duty.deed is Deed.COMPLETE]


def test_nothing_is_decided_on_an_old_look() -> None:
    replica = Replica()
    for now in (0.0, DRAIN, DRAIN + 100):
        assert replica.completes([A, plane("i-b")], None, now) == []
    assert replica.completes([A, plane("i-b")], {"i-a", "i-b"}, DRAIN + 101) == ["i-a"]


def test_both_replicas_let_the_same_one_go_and_then_wait_for_its_successor() -> None:
    replicas = [Replica(), Replica()]
    for replica in replicas:
        assert replica.completes([A, B], {"i-a", "i-b"}, 0.0) == []
    assert [replica.completes([A, B], {"i-a", "i-b"}, DRAIN) for replica in replicas] == [["i-a"], ["i-a"]]
    last = replicas[1]
    assert last.completes([B, NEW_A], {"i-b"}, DRAIN + 60) == []
    assert last.completes([B, plane("i-z")], {"i-b", "i-z"}, DRAIN + 120) == ["i-b"]


def test_looks_that_differ_by_less_than_a_drain_never_let_two_go() -> None:
    """The second update comes while the first one's machine is about to go: one replica has seen it, the other not yet."""
    early, late = Replica(), Replica()
    alone, both = [B, plane("i-a")], [A, B]
    for replica in (early, late):
        assert replica.completes(alone, {"i-a", "i-b"}, 0.0) == []
    assert early.completes(alone, {"i-a", "i-b"}, DRAIN) == ["i-b"]
    for seconds in range(1, 10):
        assert late.completes(both, {"i-a", "i-b"}, DRAIN + seconds) == [], "i-a is the first now, but was not seen waiting long enough"
    gone = [A, plane("i-b", "Terminating:Proceed")]
    assert late.completes(gone, {"i-a", "i-b"}, DRAIN + 30) == []
    assert late.completes([A, plane("i-y")], {"i-a", "i-y"}, DRAIN + 90) == ["i-a"]


def test_one_that_waits_and_serves_is_prolonged_for_as_long_as_it_takes() -> None:
    duties = Duties(drain=timedelta(seconds=DRAIN))
    now, beats = 0.0, 0
    while now < 7200:
        due = duties.due([B, NEW_A], ready=frozenset(), now=now, serving={"i-b"})
        assert all(duty.deed is Deed.HEARTBEAT for duty in due)
        beats += sum(duty.instance == "i-b" for duty in due)
        now += HEARTBEAT_SECONDS
    assert beats == 7200 / HEARTBEAT_SECONDS - 1


def test_one_that_waits_and_serves_nobody_is_left_to_the_hooks_default() -> None:
    """It may hold the address that its successor needs, and no other one would go before it."""
    duties = Duties(drain=timedelta(seconds=DRAIN))
    for now in (0.0, HEARTBEAT_SECONDS, 4 * HEARTBEAT_SECONDS):
        assert duties.due([B], ready=frozenset(), now=now, serving=set()) == []
