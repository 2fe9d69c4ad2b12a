"""One look at EC2 and Auto Scaling: the machines of a stack, or the last good ones where an answer failed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from apps.common.aws import AwsError, error_code
from apps.control_plane.discovery.judge import Judge
from apps.control_plane.discovery.machines import Machine, machine_of
from apps.control_plane.discovery.regions import OWN
from apps.control_plane.discovery.reports import FaultReport
from model import contract

INSTANCES = "ec2:DescribeInstances"
LIFECYCLE = "autoscaling:DescribeAutoScalingInstances"
INSTANCES_PAGE = 1000
LIFECYCLE_IDS = 50
"""Instance ids that one DescribeAutoScalingInstances takes."""


class Sweeper:
    """Asks, judges the answer, and keeps the last good one."""

    def __init__(
        self, ec2: Any, autoscaling: Any, *, stack: str, judge: Judge, fault: Callable[[FaultReport], None], region: str = OWN
    ) -> None:
        """`region` is where the clients ask, if that is another region than the stack's own; faults then say so."""
        self.region = region
        self._ec2 = ec2
        self._autoscaling = autoscaling
        self._filters = [
            {"Name": f"tag:{contract.TAG_STACK}", "Values": [stack]},
            {"Name": "instance-state-name", "Values": ["pending", "running"]},
        ]
        self._judge = judge
        self._fault = fault
        self._lifecycles: dict[str, str] = {}
        self.machines: tuple[Machine, ...] | None = None
        """The last good answer; None before the first."""

    def sweep(self) -> bool:
        """Looks once; False when EC2's answer failed or was not believed. A failing Auto Scaling API costs only news of lifecycles."""
        try:
            seen = sorted(self._instances(), key=lambda machine: (machine.role, machine.service, machine.instance))
        except AwsError as error:
            self._judge.error()
            self._tell_fault(INSTANCES, error_code(error), str(error))
            return False
        if refusal := self._judge.refusal(len(seen)):
            self._tell_fault(INSTANCES, "EmptyAnswer", refusal)
            return False
        members = [machine.instance for machine in seen if machine.group]
        try:
            self._lifecycles = dict(self._states(members))
        except AwsError as error:
            self._tell_fault(LIFECYCLE, error_code(error), str(error))
        self.machines = tuple(
            replace(machine, lifecycle=self._lifecycles.get(machine.instance)) if machine.group else machine for machine in seen
        )
        return True

    def _tell_fault(self, api: str, code: str, text: str) -> None:
        self._fault(FaultReport(api=f"{api} in {self.region}" if self.region else api, code=code, text=text))

    def _instances(self) -> Iterator[Machine]:
        pages = self._ec2.get_paginator("describe_instances").paginate(
            Filters=self._filters, PaginationConfig={"PageSize": INSTANCES_PAGE}
        )
        for page in pages:
            for reservation in page["Reservations"]:
                for instance in reservation["Instances"]:
                    if machine := machine_of(instance):
                        yield machine

    def _states(self, members: Sequence[str]) -> Iterator[tuple[str, str]]:
        for start in range(0, len(members), LIFECYCLE_IDS):
            pages = self._autoscaling.get_paginator("describe_auto_scaling_instances").paginate(
                InstanceIds=members[start : start + LIFECYCLE_IDS]
            )
            for page in pages:
                for item in page["AutoScalingInstances"]:
                    yield item["InstanceId"], item["LifecycleState"]
