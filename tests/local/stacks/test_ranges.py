"""Address ranges: one a stack, remembered, given back, and taken from the dead."""

import os
import shutil
import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from local.stacks import RangesTaken, StackState, free_range, own_range, ranges, take_range


@pytest.fixture
def claims(tmp_path: Path) -> Path:
    return tmp_path / "claims"


def state(tmp_path: Path, name: str) -> StackState:
    return StackState(tmp_path / name)


def test_each_stack_gets_a_range_of_its_own_and_keeps_it(tmp_path: Path, claims: Path) -> None:
    first, second = (take_range(state(tmp_path, name), claims=claims) for name in "ab")
    assert first != second
    assert all(each.prefixlen == 16 and each.subnet_of(IPv4Network("127.0.0.0/8")) for each in (first, second))
    assert take_range(state(tmp_path, "a"), claims=claims) == first


def test_the_range_of_localhost_is_nobody_s() -> None:
    assert IPv4Network("127.0.0.0/16") not in ranges.RANGES


def test_a_range_is_free_again_after_down(tmp_path: Path, claims: Path) -> None:
    first = take_range(state(tmp_path, "a"), claims=claims)
    free_range(state(tmp_path, "a"), claims=claims)
    assert take_range(state(tmp_path, "b"), claims=claims) == first


def test_freeing_twice_or_without_a_range_does_nothing(tmp_path: Path, claims: Path) -> None:
    free_range(state(tmp_path, "a"), claims=claims)
    kept = take_range(state(tmp_path, "b"), claims=claims)
    free_range(state(tmp_path, "a"), claims=claims)
    assert take_range(state(tmp_path, "b"), claims=claims) == kept


def test_a_claim_of_a_removed_state_directory_is_taken_over(tmp_path: Path, claims: Path) -> None:
    first = take_range(state(tmp_path, "a"), claims=claims)
    shutil.rmtree(tmp_path / "a")
    assert take_range(state(tmp_path, "b"), claims=claims) == first


def test_a_lost_claim_is_made_again(tmp_path: Path, claims: Path) -> None:
    first = take_range(state(tmp_path, "a"), claims=claims)
    shutil.rmtree(claims)
    assert take_range(state(tmp_path, "a"), claims=claims) == first
    assert take_range(state(tmp_path, "b"), claims=claims) != first


def test_a_stack_whose_range_went_to_another_gets_a_new_one(tmp_path: Path, claims: Path) -> None:
    first = take_range(state(tmp_path, "a"), claims=claims)
    shutil.rmtree(claims)
    other = state(tmp_path, "b")
    assert take_range(other, claims=claims) == first
    assert take_range(state(tmp_path, "a"), claims=claims) != first


def test_a_range_in_which_somebody_listens_is_not_given_away(tmp_path: Path, claims: Path) -> None:
    first = take_range(state(tmp_path, "a"), claims=claims)
    free_range(state(tmp_path, "a"), claims=claims)
    with socket.create_server((str(first[300]), 0)):
        assert take_range(state(tmp_path, "b"), claims=claims) != first


def test_the_last_stack_leaves_nothing_of_the_claims(tmp_path: Path, claims: Path) -> None:
    for name in "ab":
        take_range(state(tmp_path, name), claims=claims)
    free_range(state(tmp_path, "a"), claims=claims)
    assert claims.exists()
    free_range(state(tmp_path, "b"), claims=claims)
    assert not claims.exists()


def test_stacks_that_come_and_go_at_once_never_share_a_range(tmp_path: Path, claims: Path) -> None:
    held: set[IPv4Network] = set()

    def come_and_go(index: int) -> None:
        own = state(tmp_path, f"s{index}")
        for _ in range(5):
            network = take_range(own, claims=claims)
            assert network not in held
            held.add(network)
            held.remove(network)
            free_range(own, claims=claims)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(come_and_go, range(6)))
    assert not claims.exists()


def test_claims_that_are_no_directory_are_not_followed(tmp_path: Path, claims: Path) -> None:
    claims.symlink_to(tmp_path)
    with pytest.raises(RangesTaken, match="is a link; remove it"):
        take_range(state(tmp_path, "a"), claims=claims)


def test_many_stacks_at_once_never_share_a_range(tmp_path: Path, claims: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda index: take_range(state(tmp_path, f"s{index}"), claims=claims), range(24)))
    assert len(set(taken)) == 24


def test_no_range_left_says_how_to_get_one(tmp_path: Path, claims: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "RANGES", ranges.RANGES[100:101])
    take_range(state(tmp_path, "a"), claims=claims)
    with pytest.raises(RangesTaken, match=r"all 1 ranges .* are taken .* `./mesh down`"):
        take_range(state(tmp_path, "b"), claims=claims)


@pytest.mark.skipif(os.geteuid() != 0, reason="optional: only root can be somebody else")
def test_another_user_takes_a_range_beside_ours_and_cannot_take_ours(claims: Path) -> None:
    import subprocess
    import sys
    import tempfile

    from local.machines.context import REPOSITORY

    with tempfile.TemporaryDirectory() as ours, tempfile.TemporaryDirectory() as shared:
        own = take_range(StackState(Path(ours) / "a"), claims=Path(shared) / "claims")
        Path(shared).chmod(0o755)
        Path(ours).chmod(0o755)
        (Path(shared) / "theirs").mkdir()
        os.chown(Path(shared) / "theirs", 65534, 65534)
        script = (
            "import os, sys; from pathlib import Path; from local.stacks import StackState, take_range; os.setgid(65534); os.setuid(65534);"
            f"print(take_range(StackState(Path('{shared}/theirs/b')), claims=Path('{shared}/claims')))"
        )
        done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert IPv4Network(done.stdout.strip()) != own
        assert stat.S_IMODE((Path(shared) / "claims").stat().st_mode) == 0o1777


def test_what_is_no_stack_has_a_range_while_it_runs(tmp_path: Path, claims: Path) -> None:
    with own_range(tmp_path / "bench", claims=claims) as network:
        assert take_range(state(tmp_path, "a"), claims=claims) != network
    assert take_range(state(tmp_path, "b"), claims=claims) == network
