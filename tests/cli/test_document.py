"""What the command makes of what control planes say of the mesh document."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Network
from typing import Any

import pytest

from cli import document
from cli.document import REASON_LENGTH, State, follow_document, judged, read_document, shortened
from local.supervisor.client import MachineView
from model.contract import CONSOLE_PORT

EDGE = "edge/edge/i-2"


def said(*, nodes: tuple[str, ...] = (EDGE,), **fields: Any) -> dict[str, Any]:
    told = {"newest": "new", "serving": "new", "refusal": "", "waits_for": [], "behind": {}, **fields}
    return {"document": told, "nodes": [{"id": node} for node in nodes]}


def machine(identity: str, role: str, address: str, health: str = "healthy") -> MachineView:
    facts = {"service": role, "zone": "a", "detail": "", "elastic_addresses": ()}
    return MachineView(id=identity, role=role, address=address, health=health, **facts)


@pytest.mark.parametrize(
    ("answer", "state", "reason", "runs"),
    [
        (said(), State.SERVED, "", ""),
        (said(serving="old", refusal="no such key"), State.REFUSED, "document new is refused: no such key", "serves old"),
        (said(serving=None, refusal="no such key"), State.REFUSED, "no such key", "serves nothing"),
        (
            said(behind={EDGE: {"reason": "it refuses Listener: no", "keeps": True}}),
            State.REFUSED,
            f"not live at {EDGE}",
            "was live before",
        ),
        (said(behind={EDGE: {"reason": "it refuses Listener: no", "keeps": False}}), State.REFUSED, "Listener: no", "nothing was live"),
        (said(newest="old", serving="old"), State.WAITING, "new has not come; it knows old", "serves old"),
        (said(newest=None, serving=None), State.WAITING, "new has not come; it knows none", "serves nothing"),
        (said(waits_for=[EDGE]), State.WAITING, f"{EDGE} has not answered", "goes on"),
        ("it does not answer", State.WAITING, "it does not answer", "go on"),
    ],
)
def test_a_control_plane_serves_the_document_refuses_it_or_is_waited_for(
    answer: dict[str, Any] | str, state: State, reason: str, runs: str
) -> None:
    view = judged("i-1", answer, "new")
    assert view.state is state
    assert reason in "".join(view.reasons)
    assert runs in view.runs
    assert bool(view.reasons) == (state is not State.SERVED)


def test_a_refusal_of_another_document_than_the_deployed_one_is_told_too() -> None:
    view = judged("i-1", said(newest="by-hand", serving="new", refusal="not JSON"), "new")
    assert (view.state, view.serving) == (State.REFUSED, "new")
    assert "document by-hand is refused" in view.reasons[0]


def test_of_a_long_reason_its_beginning_and_its_end_are_shown_on_one_line() -> None:
    text = shortened("rbac {\n  rules\n}" + " x" * 2000 + " must contain at least 2 items")
    assert text.startswith("rbac { rules }")
    assert text.endswith("must contain at least 2 items")
    assert len(text) <= REASON_LENGTH + 3
    assert shortened("short\nenough") == "short enough"


@contextmanager
def console(address: str, answers: Callable[[], dict[str, Any]]) -> Iterator[None]:
    """A control plane's console that says what the test says."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answers()).encode() if self.path == "/nodes" else b""
            self.send_response(200 if body else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer((address, CONSOLE_PORT), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def plane(loopback: IPv4Network) -> MachineView:
    return machine("i-1", "control-plane", str(loopback[20]))


def test_the_document_is_followed_until_it_is_served_and_every_envoy_hears_a_control_plane(plane: MachineView) -> None:
    steps = iter([said(newest=None, serving=None, nodes=()), said(newest="old", serving="old"), said(waits_for=[EDGE]), said(nodes=())])
    machines = [plane, machine("i-2", "edge", "127.0.0.1"), machine("i-3", "monitoring", "127.0.0.1")]
    with console(plane.address, lambda: next(steps, said())):
        seen = follow_document(lambda: machines, "new", timedelta(seconds=10))
        assert (seen.state, seen.unconnected, list(seen.troubles("logs"))) == (State.SERVED, (), [])
        assert seen.sentence() == "new served by 1 of 1 control planes"
        assert next(steps, None) is None
        lost = read_document([*machines, machine("i-4", "service", "127.0.0.1")], "new")
    assert (lost.state, lost.unconnected) == (State.WAITING, ("service/service/i-4",))
    assert "service/service/i-4" in "".join(lost.troubles("logs"))


def test_a_refusal_is_believed_only_when_it_stands(plane: MachineView, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "REFUSAL_STANDS", timedelta(seconds=0.2))
    steps = iter([said(behind={EDGE: {"reason": "no certificate yet", "keeps": False}})])
    with console(plane.address, lambda: next(steps, said())):
        assert follow_document(lambda: [plane], "new", timedelta(seconds=10)).state is State.SERVED
    with console(plane.address, lambda: said(serving="old", refusal="no such key")):
        seen = follow_document(lambda: [plane], "new", timedelta(seconds=10))
    *_, runs, advice = seen.troubles("./mesh logs")
    assert runs == "  it serves old, the last good one; the whole text: ./mesh logs i-1"
    assert "run `up` again" in advice


def test_a_control_plane_that_does_not_answer_is_waited_for_as_long_as_said(plane: MachineView) -> None:
    seen = follow_document(lambda: [plane], "new", timedelta(seconds=0.1))
    assert seen.state is State.WAITING
    assert f"port {CONSOLE_PORT}" in seen.planes[0].reasons[0]


def test_nobody_is_waited_for_where_no_control_plane_is_healthy(plane: MachineView) -> None:
    sick = machine("i-1", "control-plane", plane.address, "unhealthy")
    seen = follow_document(lambda: [sick, machine("i-2", "edge", "127.0.0.1")], "new", timedelta(seconds=60))
    assert (seen.state, seen.planes) == (State.WAITING, ())
