"""Several regions: what is seen is told as one, and none of them can empty another."""

import json
from collections.abc import Callable

import pytest

from apps.control_plane.discovery.regions import OWN, Gathering, OuterRegions, outer_regions_of
from apps.control_plane.discovery.reports import EndpointsReport, Report, Sighting


def machine(name: str) -> Sighting:
    return Sighting(instance=name, role="edge", service="edge", address="10.0.0.1", zone="a")


@pytest.fixture
def told() -> list[Report]:
    return []


@pytest.fixture
def gathering(told: list[Report]) -> Gathering:
    return Gathering(told.append)


def names(report: Report) -> list[str]:
    assert isinstance(report, EndpointsReport)
    return [item.instance for item in report.endpoints]


def test_nothing_is_told_before_the_stacks_own_region_is_known(gathering: Gathering, told: list[Report]) -> None:
    gathering.settle(["us-east-1"])
    gathering.share("us-east-1", (machine("outer"),))
    assert told == []
    gathering.share(OWN, (machine("inner"),))
    assert [names(report) for report in told] == [["inner", "outer"]]


def test_a_region_that_says_nothing_new_keeps_what_it_had_and_a_repetition_is_not_told(gathering: Gathering, told: list[Report]) -> None:
    gathering.settle(["us-east-1"])
    gathering.share(OWN, (machine("inner"),))
    gathering.share("us-east-1", (machine("outer"),))
    gathering.share(OWN, (machine("inner"), machine("second")))
    gathering.share(OWN, (machine("inner"), machine("second")))
    assert [names(report) for report in told] == [["inner"], ["inner", "outer"], ["inner", "second", "outer"]]


def test_a_region_that_the_document_dropped_is_forgotten_and_what_it_still_says_is_not_heard(
    gathering: Gathering, told: list[Report]
) -> None:
    gathering.settle(["us-east-1"])
    gathering.share(OWN, (machine("inner"),))
    gathering.share("us-east-1", (machine("outer"),))
    gathering.settle([])
    gathering.share("us-east-1", (machine("outer"),))
    assert names(told[-1]) == ["inner"]


class Sweeping:
    """Says whether it was started and stopped."""

    def __init__(self, region: str, log: list[str]) -> None:
        self.region, self.log = region, log

    def run(self) -> None:
        self.log.append(f"run {self.region}")

    def stop(self) -> None:
        self.log.append(f"stop {self.region}")


def test_sweeps_begin_and_end_with_what_the_document_names(gathering: Gathering) -> None:
    log: list[str] = []

    def at_once(work: Callable[[], None]) -> None:
        work()

    regions = OuterRegions(lambda: "", lambda region: Sweeping(region, log), gathering, at_once)
    regions.settle(["us-east-1", "eu-west-1"])
    regions.settle(["us-east-1"])
    regions.settle(None)
    assert log == ["run eu-west-1", "run us-east-1", "stop eu-west-1"]


@pytest.mark.parametrize(
    ("document", "regions"),
    [
        ({"mesh": {"edge": {"outer": [{"region": "us-east-1"}, {"region": "eu-west-1"}]}}}, ["us-east-1", "eu-west-1"]),
        ({"mesh": {"edge": {}}}, []),
        ({"mesh": {}}, None),
        ([], None),
        ({"mesh": {"edge": {"outer": [{}]}}}, None),
    ],
)
def test_regions_are_read_of_a_document_and_nothing_of_what_is_none(document: object, regions: list[str] | None) -> None:
    assert outer_regions_of(json.dumps(document)) == regions
    assert outer_regions_of("no document") is None
