"""Which control plane may end, of those whose groups replace them. Pure.

An update starts the refreshes of all control planes at once, and each old one then waits in its terminating hook: still
serving, since it keeps its address until it ends. Every replica decides alone, from its own last look at EC2 and Auto
Scaling and from who answers it right now:

    only the first of those that wait (by instance id) may go, and only while another control plane serves.

The other one may itself be waiting; it is then kept until the successor of the first serves. Two replicas could only let
two go if one of them saw the first as waiting after the other had seen it go. A machine has to be seen waiting for the whole drain
before it may go, longer than any look is old, so by then both see the same.
"""

from collections.abc import Container, Iterable

from apps.control_plane.discovery.machines import Machine, Standing
from model.contract import Role


def may_go(machines: Iterable[Machine], serving: Container[str]) -> str | None:
    """The instance that may end now; `serving` are those that answered at their ready URL just now."""
    planes = [machine for machine in machines if machine.role == Role.CONTROL_PLANE]
    waiting = sorted(plane.instance for plane in planes if plane.waits_to_end)
    others = (plane for plane in planes if plane.instance in serving and plane.instance not in waiting[:1])
    kept = [plane for plane in others if plane.waits_to_end or plane.standing(ready=True) is Standing.SERVING]
    return waiting[0] if waiting and kept else None
