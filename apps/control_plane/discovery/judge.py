"""Whether an answer of EC2 can be true.

A stack that loses machines loses them one answer at a time, and each such answer is believed at once: what is absent
while others are reported has ended. An answer with no machine at all is another thing: a control plane that is itself
a machine of the stack would be in it. It is never believed there; a control plane outside of the stack
believes it when it was repeated.
"""

from dataclasses import dataclass

EMPTY_ANSWERS_BELIEVED = 5
"""Empty answers in a row, with no error between them, after which an outside observer takes the stack for empty."""


@dataclass(kw_only=True)
class Judge:
    """Remembers how often in a row the answer was empty; `inside` says that the asker is a machine of the stack."""

    inside: bool
    empty_answers: int = 0

    def refusal(self, machines: int) -> str | None:
        """Why an answer with this many machines is not applied, or None."""
        if machines:
            self.empty_answers = 0
            return None
        self.empty_answers += 1
        if self.inside:
            return "no machine at all, although this one is running; what was known stands"
        if self.empty_answers < EMPTY_ANSWERS_BELIEVED:
            return f"no machine at all, {self.empty_answers} of {EMPTY_ANSWERS_BELIEVED} answers in a row; what was known stands"
        return None

    def error(self) -> None:
        """An answer was missing: a row of empty answers starts anew."""
        self.empty_answers = 0
