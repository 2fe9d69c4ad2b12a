"""What to send to a stream that holds one thing and should hold another; worked out once for all streams in the same state."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from apps.control_plane import type_urls
from apps.control_plane.snapshot import Resource, ResourceSet, version_of
from apps.control_plane.wire import Response, delta_response, sotw_response

ABSENT = ""
"""In place of a version: the proxy asked for this name, and knows that there is no such resource."""
REJECTED = "rejected"
"""In place of a version: the proxy refused what was sent, so it holds something else under this name, or nothing."""
CACHED_VIEWS = 1024
CACHED_PLANS = 512


class Subscription(NamedTuple):
    """What a stream wants of one type."""

    wildcard: bool
    names: frozenset[str]

    def covers(self, name: str) -> bool:
        return self.wildcard or name in self.names


NOTHING = Subscription(wildcard=False, names=frozenset())


class View:
    """Names and versions that a proxy holds, or should hold, of one type. Compared by identity: the planner hands out shared ones."""

    __slots__ = ("resources", "version", "versions")

    def __init__(self, version: str, versions: Mapping[str, str], resources: Mapping[str, Resource]) -> None:
        self.version, self.versions, self.resources = version, versions, resources

    def of_names(self, subscription: Subscription) -> "View":
        """The part that `subscription` covers."""
        return self.without(frozenset(name for name in self.versions if not subscription.covers(name)))

    def without(self, names: frozenset[str]) -> "View":
        """As if these names had never been sent."""
        kept = {name: version for name, version in self.versions.items() if name not in names}
        if len(kept) == len(self.versions):
            return self
        return View("", kept, self.resources) if kept else EMPTY

    def without_rejected(self) -> "View":
        """Less what the proxy refused: a full set would send the refused version again."""
        return self.without(frozenset(name for name, version in self.versions.items() if version == REJECTED))

    def with_rejected(self, names: frozenset[str]) -> "View":
        """As if it were unknown which version of these names the proxy holds."""
        return View("", {**self.versions, **dict.fromkeys(names, REJECTED)}, self.resources)


EMPTY = View("", {}, {})


class Plan(NamedTuple):
    """A response, if there is anything to say, and what the proxy holds after it."""

    response: Response | None
    held: View
    awaited: frozenset[str] = frozenset()
    """Names of the endpoints that an Envoy wants to hear (again) before it uses the clusters in this response."""
    fresh: frozenset[str] = frozenset()
    """Those of them whose cluster the proxy did not hold in any version."""


class Planner:
    """Plans for all streams of one server."""

    def __init__(self, *, identifier: str = "") -> None:
        self._identifier = identifier
        self.view = lru_cache(CACHED_VIEWS)(self._view)
        self.sotw = lru_cache(CACHED_PLANS)(self._sotw)
        self.delta = lru_cache(CACHED_PLANS)(self._delta)
        self.forget = lru_cache(CACHED_PLANS)(View.without)

    def _view(self, type_url: str, resources: ResourceSet, subscription: Subscription) -> View:
        """What a stream with this subscription should hold."""
        missing = [name for name in subscription.names if name not in resources]
        if subscription.wildcard and not missing:
            return View(resources.version, resources.versions, resources)
        versions = dict(resources.versions) if subscription.wildcard else {}
        versions.update((name, resources[name].version if name in resources else ABSENT) for name in sorted(subscription.names))
        return View(version_of(type_url, versions), versions, {name: resources[name] for name in versions if name in resources})

    def _sotw(self, type_url: str, held: View, desired: View, removals: bool, forced: bool) -> Plan:
        """Clusters and listeners go as full sets; of other types only what changed, and removals are not told at all."""
        if type_url in type_urls.FULL_SET_TYPES:
            target = desired if removals else self._keeping_removed(type_url, held.without_rejected(), desired)
            changed = [one for name, one in target.resources.items() if held.versions.get(name) != one.version]
            news = list(target.resources.values()) if forced or target.versions != held.versions else None
        else:
            target = desired
            changed = [one for name, one in desired.resources.items() if held.versions.get(name) != one.version]
            news = changed if forced or changed else None
        if news is None:
            return Plan(None, target)
        response = sotw_response(type_url, target.version, news, identifier=self._identifier)
        return Plan(response, target, _endpoints_of(changed), _endpoints_of(_new_in(changed, held)))

    def _delta(self, type_url: str, held: View, desired: View, removals: bool, forced: bool) -> Plan:
        """What changed, what is gone, and which names that were asked for do not exist."""
        target = desired if removals else self._keeping_removed(type_url, held, desired)
        changed = [one for name, one in desired.resources.items() if held.versions.get(name) != one.version]
        gone = [name for name, version in held.versions.items() if version != ABSENT and name not in target.versions]
        gone += [name for name, version in target.versions.items() if version == ABSENT and held.versions.get(name) != ABSENT]
        if not (forced or changed or gone):
            return Plan(None, target)
        response = delta_response(type_url, target.version, changed, gone, identifier=self._identifier)
        return Plan(response, target, _endpoints_of(changed), _endpoints_of(_new_in(changed, held)))

    def _keeping_removed(self, type_url: str, held: View, desired: View) -> View:
        """`desired`, and what it removes from `held`."""
        kept = {
            name: version for name, version in held.versions.items() if version != ABSENT and desired.versions.get(name, ABSENT) == ABSENT
        }
        if not kept:
            return desired
        versions = {**desired.versions, **kept}
        resources = {**desired.resources, **{name: held.resources[name] for name in kept if name in held.resources}}
        return View(version_of(type_url, versions), versions, resources)


def _endpoints_of(changed: Iterable[Resource]) -> frozenset[str]:
    return frozenset(name for one in changed for type_url, name in one.references if type_url == type_urls.ENDPOINT)


def _new_in(changed: Iterable[Resource], held: View) -> Iterable[Resource]:
    return (one for one in changed if not held.versions.get(one.name))
