"""Machines of a stack come and go in a moto server; what fails costs nothing that was known.

Shows our reading of the two APIs as moto answers them; moto has no lifecycle hooks, so states are set from inside.
"""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.autoscaling.models import autoscaling_backends
from moto.core import DEFAULT_ACCOUNT_ID

from apps.common.aws import aws_client
from apps.control_plane.discovery.judge import Judge
from apps.control_plane.discovery.regions import OWN
from apps.control_plane.discovery.reports import FaultReport
from apps.control_plane.discovery.sweep import Sweeper

pytestmark = pytest.mark.components


class Watched:
    """A sweeper over a stack, with the faults that it told."""

    def __init__(self, environment: dict[str, str], *, inside: bool = True, region: str = OWN) -> None:
        self.faults: list[FaultReport] = []
        ec2, autoscaling = aws_client("ec2", environment), aws_client("autoscaling", environment)
        self.sweeper = Sweeper(ec2, autoscaling, stack="t", judge=Judge(inside=inside), fault=self.faults.append, region=region)

    def services(self) -> list[str]:
        assert self.sweeper.machines is not None
        return [machine.service for machine in self.sweeper.machines]


def set_lifecycle(group: str, state: str) -> str:
    """Puts the first machine of a group into a lifecycle state; returns its id."""
    backend = autoscaling_backends[DEFAULT_ACCOUNT_ID]["eu-central-1"]
    member: Any = backend.autoscaling_groups[group].instance_states[0]
    member.lifecycle_state = state
    return str(member.instance.id)


def test_only_machines_of_the_stack_with_a_role_are_seen(stack: Any) -> None:
    stack.run("edge", "edge", 2)
    stack.run("database", "postgres")
    stack.run("bastion", "bastion")
    stack.run("service", "web", stack="another")
    watched = Watched(stack.environment)
    assert watched.sweeper.sweep()
    assert watched.services() == ["postgres", "edge", "edge"]


def test_a_terminated_machine_is_gone_in_the_next_answer(stack: Any) -> None:
    stack.run("edge", "edge")
    ended, _ = stack.run("service", "web", 2)
    watched = Watched(stack.environment)
    watched.sweeper.sweep()
    stack.terminate(ended)
    assert watched.sweeper.sweep()
    assert watched.services() == ["edge", "web"]


def test_the_last_machine_of_a_service_is_believed_gone_while_others_are_reported(stack: Any) -> None:
    stack.run("edge", "edge")
    (ended,) = stack.run("service", "web")
    watched = Watched(stack.environment)
    watched.sweeper.sweep()
    stack.terminate(ended)
    assert watched.sweeper.sweep()
    assert watched.services() == ["edge"]


def test_an_empty_answer_leaves_what_was_known(stack: Any) -> None:
    machines = stack.run("service", "web", 2)
    watched = Watched(stack.environment)
    watched.sweeper.sweep()
    stack.terminate(*machines)
    for _ in range(20):
        assert not watched.sweeper.sweep()
    assert watched.services() == ["web", "web"]
    assert {fault.code for fault in watched.faults} == {"EmptyAnswer"}


def test_before_the_first_good_answer_nothing_is_known(stack: Any) -> None:
    watched = Watched(stack.environment)
    assert not watched.sweeper.sweep()
    assert watched.sweeper.machines is None


def test_the_state_in_the_group_comes_with_the_machine(stack: Any) -> None:
    stack.group("web", 2)
    ending = set_lifecycle("web", "Terminating:Wait")
    watched = Watched(stack.environment)
    watched.sweeper.sweep()
    machines = watched.sweeper.machines or ()
    assert {machine.instance: machine.waits_to_end for machine in machines if machine.instance == ending} == {ending: True}
    assert sorted(str(machine.lifecycle) for machine in machines) == ["InService", "Terminating:Wait"]
    assert {machine.group for machine in machines} == {"web"}


def test_more_machines_of_groups_than_one_call_takes_are_asked_for_in_parts(stack: Any) -> None:
    for name in ("a", "b"):
        stack.group(name, 30)
    for index in range(30):
        autoscaling_backends[DEFAULT_ACCOUNT_ID]["eu-central-1"].autoscaling_groups["b"].instance_states[index].lifecycle_state = "Standby"
    watched = Watched(stack.environment)
    assert watched.sweeper.sweep()
    states = [machine.lifecycle for machine in watched.sweeper.machines or ()]
    assert (states.count("InService"), states.count("Standby")) == (30, 30)


class Failing:
    """Answers each request with the status and the error that it was told."""

    def __init__(self) -> None:
        self.status, self.code = 503, "RequestLimitExceeded"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                body = f"<Response><Errors><Error><Code>{outer.code}</Code><Message>no</Message></Error></Errors></Response>".encode()
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        return {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server.server_port}"}


@pytest.fixture
def failing() -> Iterator[Failing]:
    server = Failing()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.mark.parametrize(("status", "code"), [(503, "RequestLimitExceeded"), (500, "InternalError"), (403, "UnauthorizedOperation")])
def test_an_error_or_a_throttle_of_ec2_leaves_what_was_known(stack: Any, failing: Failing, status: int, code: str) -> None:
    stack.run("service", "web", 2)
    failing.status, failing.code = status, code
    watched = Watched(stack.environment)
    watched.sweeper.sweep()
    watched.sweeper._ec2 = aws_client("ec2", {**stack.environment, **failing.environment})
    assert not watched.sweeper.sweep()
    assert watched.services() == ["web", "web"]
    assert [(fault.api, fault.code) for fault in watched.faults] == [("ec2:DescribeInstances", code)]


def test_a_fault_of_another_region_names_it_and_an_empty_answer_there_is_believed_in_time(stack: Any, failing: Failing) -> None:
    """No control plane stands there that would have to be in the answer."""
    watched = Watched({**stack.environment, "AWS_REGION": "us-east-1"}, inside=False, region="us-east-1")
    assert [watched.sweeper.sweep() for _ in range(5)] == [False] * 4 + [True]
    assert watched.services() == []
    watched.faults.clear()
    watched.sweeper._ec2 = aws_client("ec2", {**stack.environment, **failing.environment})
    assert not watched.sweeper.sweep()
    assert [fault.api for fault in watched.faults] == ["ec2:DescribeInstances in us-east-1"]


def test_ec2_out_of_reach_leaves_what_was_known(stack: Any) -> None:
    stack.run("service", "web")
    watched = Watched(stack.environment)
    watched.sweeper.sweep()
    watched.sweeper._ec2 = aws_client("ec2", {**stack.environment, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    assert not watched.sweeper.sweep()
    assert watched.services() == ["web"]
    assert watched.faults[0].code == "EndpointConnectionError"


def test_a_failing_auto_scaling_api_delays_no_news_of_ec2(stack: Any) -> None:
    stack.group("web", 2)
    ending = set_lifecycle("web", "Terminating:Wait")
    watched = Watched(stack.environment)
    watched.sweeper.sweep()

    class Throttled:
        def get_paginator(self, _: str) -> Any:
            raise ClientError({"Error": {"Code": "Throttling", "Message": "slow down"}}, "DescribeAutoScalingInstances")

    watched.sweeper._autoscaling = Throttled()
    stack.run("edge", "edge")
    assert watched.sweeper.sweep()
    assert watched.services() == ["edge", "web", "web"]
    assert {machine.instance for machine in watched.sweeper.machines or () if machine.waits_to_end} == {ending}
    assert [(fault.api, fault.code) for fault in watched.faults] == [("autoscaling:DescribeAutoScalingInstances", "Throttling")]
