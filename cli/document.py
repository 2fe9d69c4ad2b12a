"""The mesh document that a deployment wrote, and what each control plane makes of it, as its console tells."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from cli.machines import node_id
from local.supervisor.client import MachineView
from model.contract import CONSOLE_PORT, Role

ASK_SECONDS = 1.0
PAUSE_SECONDS = 0.05
REFUSAL_STANDS = timedelta(seconds=3)
"""A control plane that has just started refuses what needs a certificate that it has not read yet; so long that is not believed."""
WITH_ENVOY = (Role.EDGE, Role.OUTER_EDGE, Role.SERVICE, Role.DATABASE)
REASON_LENGTH = 400
"""Characters of a reason that a person is shown; Envoy's repeat the config first and have the cause at their end."""


class State(StrEnum):
    """Where the document is."""

    SERVED = "served"
    WAITING = "waiting"
    """Not there yet; of itself it may still come."""
    REFUSED = "refused"
    """By the control plane, or by a proxy."""


@dataclass(frozen=True, kw_only=True)
class PlaneView:
    """What one control plane says."""

    id: str
    state: State
    serving: str | None
    """Version of the document that it serves."""
    reasons: tuple[str, ...]
    """Why it is not `served`, in whole."""
    runs: str
    """What runs instead; empty when it is `served`."""


@dataclass(frozen=True, kw_only=True)
class DocumentView:
    """A deployment's document, at all control planes that are up."""

    deployed: str | None
    """Its version; None where no deployment has ended well."""
    planes: tuple[PlaneView, ...]
    unconnected: tuple[str, ...]
    """Node ids of healthy machines whose Envoy hears no control plane."""

    @property
    def state(self) -> State:
        """The worst of them."""
        if any(plane.state is State.REFUSED for plane in self.planes):
            return State.REFUSED
        return State.WAITING if self.may_change or not self.planes else State.SERVED

    @property
    def may_change(self) -> bool:
        """Whether somebody has yet to answer."""
        return any(plane.state is State.WAITING for plane in self.planes) or bool(self.unconnected)

    def sentence(self) -> str:
        """How many serve it."""
        serving = sum(plane.state is State.SERVED for plane in self.planes)
        return f"{self.deployed or '(no `up` has ended well yet)'} served by {serving} of {len(self.planes)} control planes"

    def troubles(self, logs: str) -> Iterator[str]:
        """What is wrong, and of a refused document what to do; `logs` is the command that shows a machine's log."""
        for plane in self.planes:
            if plane.state is not State.SERVED:
                yield f"control plane {plane.id}: {'; '.join(map(shortened, plane.reasons[:1]))}{_more(plane.reasons)}"
                yield f"  {plane.runs}; the whole text: {logs} {plane.id}"
        if self.unconnected:
            yield f"no control plane is heard by {', '.join(self.unconnected)}; each goes on with what it has"
        if self.state is State.REFUSED:
            yield "Correct what the reason names in the stack config, or put the config before it back, and run `up` again."


def read_document(machines: Sequence[MachineView], deployed: str | None) -> DocumentView:
    """Asks every healthy control plane once."""
    healthy = [one for one in machines if one.health == "healthy"]
    answers = {one.id: _ask(one.address) for one in healthy if one.role == Role.CONTROL_PLANE}
    told = [answer for answer in answers.values() if not isinstance(answer, str)]
    connected = {node["id"] for answer in told for node in answer["nodes"]}
    envoys = [node_id(one) for one in healthy if one.role in WITH_ENVOY] if told else []
    return DocumentView(
        deployed=deployed,
        planes=tuple(judged(plane, answer, deployed) for plane, answer in answers.items()),
        unconnected=tuple(name for name in envoys if name not in connected),
    )


def follow_document(machines: Callable[[], Sequence[MachineView]], deployed: str | None, limit: timedelta) -> DocumentView:
    """Asks until every control plane serves the document and its proxies have answered; where one refuses it or is late, for a time.

    `machines` gives those of now: a group may still roll.
    """
    begun = time.monotonic()
    while True:
        document = read_document(machines(), deployed)
        patience = limit if document.may_change else REFUSAL_STANDS
        if document.state is State.SERVED or not document.planes or time.monotonic() - begun > patience.total_seconds():
            return document
        time.sleep(PAUSE_SECONDS)


def judged(plane: str, answer: Mapping[str, Any] | str, deployed: str | None) -> PlaneView:
    """What a control plane's `/nodes` says of the deployed document; `answer` is a text where it gave none."""
    if isinstance(answer, str):
        runs = "proxies go on with what they have"
        return PlaneView(id=plane, state=State.WAITING, serving=None, reasons=(answer,), runs=runs)
    said = answer["document"]
    newest, serving = said["newest"], said["serving"]
    if said["refusal"]:
        state, reasons = State.REFUSED, [f"document {newest} is refused: {said['refusal']}"]
        runs = f"it serves {serving}, the last good one" if serving else "it has no other document and serves nothing"
    elif said["behind"]:
        state = State.REFUSED
        reasons = [f"document {serving} is not live at {node}: {one['reason']}" for node, one in said["behind"].items()]
        kept = all(one["keeps"] for one in said["behind"].values())
        runs = "there what was live before goes on" if kept else "there nothing was live before, as far as this control plane knows"
    elif deployed not in (serving, None) or not serving:
        state, reasons = State.WAITING, [f"document {deployed} has not come; it knows {newest or 'none'}"]
        runs = f"it serves {serving}" if serving else "it serves nothing"
    elif said["waits_for"]:
        state, reasons = State.WAITING, [f"{node} has not answered to document {serving}" for node in said["waits_for"]]
        runs = "until then it goes on with what it has"
    else:
        state, reasons, runs = State.SERVED, [], ""
    return PlaneView(id=plane, state=state, serving=serving, reasons=tuple(reasons), runs=runs)


def shortened(reason: str) -> str:
    """The reason on one line; of a long one the beginning and the end."""
    words = " ".join(reason.split())
    half = REASON_LENGTH // 2
    return words if len(words) <= REASON_LENGTH else f"{words[:half]} … {words[-half:]}"


def _more(reasons: Sequence[str]) -> str:
    return f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""


def _ask(address: str) -> dict[str, Any] | str:
    """A control plane's `/nodes`, or why there is none."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{address}:{CONSOLE_PORT}/nodes", timeout=ASK_SECONDS) as answer:
            nodes: dict[str, Any] = json.load(answer)
    except (urllib.error.URLError, OSError, ValueError) as error:
        return f"it does not answer on port {CONSOLE_PORT}: {error}"
    return nodes
