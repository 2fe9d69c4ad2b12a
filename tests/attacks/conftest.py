"""The edge of the shared stack, and the summary of all attacks at the end of the run."""

import pytest

from model.contract import login_parameter
from tests.attacks.attack import Ledger
from tests.attacks.edge import Edge
from tests.e2e.driver import Stack

_LEDGER = Ledger()


@pytest.fixture(scope="session")
def ledger() -> Ledger:
    return _LEDGER


@pytest.fixture(scope="session")
def edge(stack: Stack) -> Edge:
    ssm = stack.aws("ssm")
    names = ("signing-key", "client-secret", "password")
    secrets = {name: ssm.get_parameter(Name=login_parameter("local", name), WithDecryption=True)["Parameter"]["Value"] for name in names}
    edge = Edge(stack=stack, url=stack.urls[0], machines=tuple(stack.machines()), secrets=secrets)
    assert edge.machine, "found before any attack, since that takes a request"
    return edge


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = list(_LEDGER.lines())
    if len(lines) > 2:
        terminalreporter.section("attacks on the edge")
        for line in lines:
            terminalreporter.write_line(line)
