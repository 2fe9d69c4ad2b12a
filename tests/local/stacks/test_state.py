"""State directories: one for each stack of each clone, and none for what is no stack's name."""

from pathlib import Path

import pytest

from local.stacks import StackNameError, StackState, StateError, stack_state


def test_the_state_of_two_clones_and_of_two_stacks_is_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    one, two = tmp_path / "x" / "mesh", tmp_path / "y" / "mesh"
    roots = {stack_state(clone, stack).root for clone in (one, two) for stack in ("local", "other")}
    assert len(roots) == 4
    assert all(root.is_relative_to(tmp_path / "envoy-mesh") and root.parent.name.endswith("-mesh") for root in roots)
    assert stack_state(one, "local", override=tmp_path / "here").root == tmp_path / "here"


@pytest.mark.parametrize("name", ["local", "a", "A.b-c_9", "-", "...", "x" * 100])
def test_a_name_that_pulumi_takes_has_a_state(tmp_path: Path, name: str) -> None:
    assert stack_state(tmp_path, name).root.name == name


@pytest.mark.parametrize("name", ["", ".", "..", "../other/local", "/etc", "a/b", "a b", "wéb", "local\n", "١", "x" * 101])
def test_what_is_no_stacks_name_has_none_wherever_it_would_be(tmp_path: Path, name: str) -> None:
    for override in (None, tmp_path):
        with pytest.raises(StackNameError, match="is no stack's name: letters from a to z, digits"):
            stack_state(tmp_path, name, override=override)


def test_the_refusal_of_a_long_name_is_short(tmp_path: Path) -> None:
    with pytest.raises(StackNameError) as refused:
        stack_state(tmp_path, "x" * 100_000)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("place", ["a file", "a file/below", "/proc/nowhere"])
def test_a_place_that_cannot_be_a_directory_is_told_with_how_to_name_another(tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").touch()
    with pytest.raises(StateError, match=r"cannot be kept in .* name another place by --state or XDG_STATE_HOME"):
        StackState(tmp_path / place).make()
