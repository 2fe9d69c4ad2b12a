"""Which answers of EC2 are believed."""

from apps.control_plane.discovery.judge import EMPTY_ANSWERS_BELIEVED, Judge


def test_any_answer_with_a_machine_is_believed_at_once() -> None:
    judge = Judge(inside=True)
    assert judge.refusal(12) is None
    assert judge.refusal(1) is None


def test_a_control_plane_of_the_stack_never_believes_that_the_stack_is_empty() -> None:
    judge = Judge(inside=True)
    assert all(judge.refusal(0) for _ in range(100))


def test_an_observer_from_outside_believes_an_empty_stack_when_it_was_repeated() -> None:
    judge = Judge(inside=False)
    assert [judge.refusal(0) is None for _ in range(EMPTY_ANSWERS_BELIEVED)] == [False] * (EMPTY_ANSWERS_BELIEVED - 1) + [True]


def test_an_error_or_a_machine_between_empty_answers_starts_the_count_anew() -> None:
    judge = Judge(inside=False)
    for _ in range(EMPTY_ANSWERS_BELIEVED - 1):
        judge.refusal(0)
    judge.error()
    assert judge.refusal(0)
    for _ in range(EMPTY_ANSWERS_BELIEVED - 2):
        judge.refusal(0)
    assert judge.refusal(3) is None
    assert judge.refusal(0)
