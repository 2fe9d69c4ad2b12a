"""The regions of a stack: its own and those of outer edges. Each is swept by itself, at its own pace; what is seen is told as one."""

import json
import threading
import time
from collections.abc import Callable, Collection
from typing import Protocol

from apps.control_plane.discovery.reports import EndpointsReport, Publish, Sighting

LOOK_SECONDS = 0.5
"""Between two looks whether the document has changed."""
OWN = ""
"""Stands for the stack's own region."""


class Sweeps(Protocol):
    """The sweeps of one region."""

    def run(self) -> None:
        """Sweeps until stopped."""

    def stop(self) -> None:
        """Lets `run` return soon."""


class Gathering:
    """The last good view of each region, told together whenever one has changed.

    Nothing is told before the stack's own region is known: without it every service would look empty. A region that
    fails keeps what it had, and so do all others.
    """

    def __init__(self, tell: Publish) -> None:
        self._tell = tell
        self._changing = threading.Lock()
        self._open = {OWN}
        self._seen: dict[str, tuple[Sighting, ...]] = {}
        self._told: EndpointsReport | None = None

    def share(self, region: str, sightings: tuple[Sighting, ...]) -> None:
        """Takes what a region's sweep has seen; it is told when this returns."""
        with self._changing:
            if region in self._open:
                self._seen[region] = sightings
                self._publish()

    def settle(self, outer: Collection[str]) -> None:
        """From now on these regions count beside the stack's own, and what others had is forgotten."""
        with self._changing:
            self._open = {OWN, *outer}
            self._seen = {region: seen for region, seen in self._seen.items() if region in self._open}
            self._publish()

    def _publish(self) -> None:
        if OWN not in self._seen:
            return
        report = EndpointsReport(endpoints=tuple(sighting for region in sorted(self._seen) for sighting in self._seen[region]))
        if report != self._told:
            self._tell(report)
            self._told = report


class OuterRegions:
    """Starts and ends the sweeps of the regions that the document names for outer edges."""

    def __init__(
        self,
        document: Callable[[], str],
        sweeps_of: Callable[[str], Sweeps],
        gathering: Gathering,
        start: Callable[[Callable[[], None]], None],
    ) -> None:
        """`start` runs a function in a thread of its own."""
        self._document = document
        self._sweeps_of = sweeps_of
        self._gathering = gathering
        self._start = start
        self._running: dict[str, Sweeps] = {}

    def follow(self) -> None:
        """Looks at the document for ever."""
        looked_at = ""
        while True:
            text = self._document()
            if text != looked_at:
                looked_at = text
                self.settle(outer_regions_of(text))
            time.sleep(LOOK_SECONDS)

    def settle(self, wanted: Collection[str] | None) -> None:
        """Sweeps these regions and no others; None, of a document that cannot be read, changes nothing."""
        if wanted is None:
            return
        for region in self._running.keys() - set(wanted):
            self._running.pop(region).stop()
        self._gathering.settle(wanted)
        for region in sorted(set(wanted) - self._running.keys()):
            self._running[region] = self._sweeps_of(region)
            self._start(self._running[region].run)


def outer_regions_of(document: str) -> list[str] | None:
    """The regions of outer edges that a document names, or None when it is none."""
    try:
        return [item["region"] for item in json.loads(document)["mesh"]["edge"].get("outer", [])]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
