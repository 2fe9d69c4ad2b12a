"""Lifecycle hooks that act: an instance waits until every hook of its transition is completed or its heartbeat runs out.

moto stores hooks and ignores them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from local.cloud import clock
from local.cloud.errors import autoscaling_error

CONTINUE = "CONTINUE"
ABANDON = "ABANDON"


@dataclass
class Wait:
    """What an instance waits for; `done` is told whether all went well."""

    deadlines: dict[str, float]
    done: Callable[[bool], None]


def begin(backend: Any, member: Any, transition: str, done: Callable[[bool], None]) -> None:
    """Puts a group's member into `Pending:Wait` or `Terminating:Wait`, or is done at once where no hook asks for that."""
    known = backend.describe_lifecycle_hooks(member.auto_scaling_group_name)
    hooks = [hook for hook in known if hook.lifecycle_transition == f"autoscaling:EC2_INSTANCE_{transition}"]
    if not hooks:
        done(True)
        return
    member.lifecycle_state = "Pending:Wait" if transition == "LAUNCHING" else "Terminating:Wait"
    member.wait = Wait({}, done)
    for hook in hooks:
        member.wait.deadlines[hook.name] = time.monotonic() + hook.heartbeat_timeout
        clock.after(hook.heartbeat_timeout, partial(_expire, member, member.wait, hook))


def complete(member: Any, hook: str, result: str) -> None:
    """One hook is through; ABANDON ends the wait for the others too."""
    wait = _wait_for(member, hook)
    del wait.deadlines[hook]
    if result == ABANDON or not wait.deadlines:
        member.wait = None
        wait.done(result == CONTINUE)


def heartbeat(member: Any, hook: Any) -> None:
    """Gives the hook its whole time again."""
    wait = _wait_for(member, hook.name)
    wait.deadlines[hook.name] = time.monotonic() + hook.heartbeat_timeout


def drop(member: Any) -> None:
    """The instance is gone: nobody waits for it."""
    member.wait = None


def release(member: Any, hook: Any) -> None:
    """A deleted hook holds nobody: a launch is abandoned, a termination goes on."""
    wait = getattr(member, "wait", None)
    if wait is not None and hook.name in wait.deadlines:
        complete(member, hook.name, ABANDON if hook.lifecycle_transition.endswith("LAUNCHING") else CONTINUE)


def _expire(member: Any, wait: Wait, hook: Any) -> None:
    if getattr(member, "wait", None) is not wait or hook.name not in wait.deadlines:
        return
    remaining = wait.deadlines[hook.name] - time.monotonic()
    if remaining > 0:
        clock.after(remaining, partial(_expire, member, wait, hook))
    else:
        complete(member, hook.name, hook.default_result)


def _wait_for(member: Any, hook: str) -> Wait:
    wait: Wait | None = getattr(member, "wait", None)
    if wait is None or hook not in wait.deadlines:
        raise autoscaling_error("ValidationError", f"No active Lifecycle Action found with instance ID {member.instance_id}")
    return wait
