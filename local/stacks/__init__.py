"""Where stacks keep their state on this host, and which address range each has."""

from local.stacks.ranges import RangesTaken, free_range, own_range, take_range
from local.stacks.state import StackNameError, StackState, StateError, check_stack_name, stack_state

__all__ = [
    "RangesTaken",
    "StackNameError",
    "StackState",
    "StateError",
    "check_stack_name",
    "free_range",
    "own_range",
    "stack_state",
    "take_range",
]
