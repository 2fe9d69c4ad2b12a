"""An immutable set of xDS resources for one proxy: serialised once, versioned by content, checked before it is served."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from hashlib import blake2b
from types import MappingProxyType

from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from apps.control_plane import type_urls
from apps.control_plane.references import Reference, references_of

LOCAL_CLUSTER = "mesh.local"
"""The bootstrap's own cluster: every Envoy asks for its endpoints before it asks for any cluster, so no CDS cluster names it."""


class InconsistentSnapshot(ValueError):
    """A snapshot whose parts do not fit each other; the message names every fault."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource as the wire wants it: its `google.protobuf.Any`, serialised, and the hash of that as version."""

    name: str
    version: str
    payload: bytes
    references: frozenset[Reference] = frozenset()

    @classmethod
    def of(cls, name: str, message: Message) -> "Resource":
        """Serialises deterministically. What builders pack inside (`Any` fields) must be packed with `deterministic=True` too."""
        url = type_urls.PREFIX + message.DESCRIPTOR.full_name
        payload = Any(type_url=url, value=message.SerializeToString(deterministic=True)).SerializeToString(deterministic=True)
        return cls(name, _digest(payload), payload, references_of(message))


class ResourceSet(Mapping[str, Resource]):
    """All resources of one type, sorted by name; equal when their content is."""

    __slots__ = ("_resources", "version", "versions")

    def __init__(self, type_url: str, resources: Mapping[str, Resource]) -> None:
        self._resources = {name: resources[name] for name in sorted(resources)}
        self.versions: Mapping[str, str] = {name: resource.version for name, resource in self._resources.items()}
        self.version = version_of(type_url, self.versions)

    def __getitem__(self, name: str) -> Resource:
        return self._resources[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._resources)

    def __len__(self) -> int:
        return len(self._resources)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ResourceSet) and other.version == self.version

    def __hash__(self) -> int:
        return hash(self.version)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What one proxy, or all proxies of one shape, should hold. Build it with `Snapshot.of`."""

    sets: Mapping[str, ResourceSet] = field(default_factory=dict)

    @classmethod
    def of(cls, resources: Mapping[str, Mapping[str, Message | Resource]]) -> "Snapshot":
        """Takes type URL → name → message; a `Resource` made earlier goes in as it is, so that it is serialised once for all nodes."""
        return cls().replaced(resources)

    def replaced(self, resources: Mapping[str, Mapping[str, Message | Resource]]) -> "Snapshot":
        """The same with all resources of these types in place of its own."""
        sets = dict(self.sets)
        for type_url, named in resources.items():
            if type_url not in type_urls.PUSH_ORDER:
                raise ValueError(f"unknown resource type {type_url!r}: a snapshot holds {', '.join(type_urls.PUSH_ORDER)}")
            made = {name: one if isinstance(one, Resource) else _checked(type_url, name, one) for name, one in named.items()}
            sets[type_url] = ResourceSet(type_url, made)
        return Snapshot(MappingProxyType(sets))

    def resources(self, type_url: str) -> ResourceSet:
        """The resources of a type; an empty set when the snapshot has none."""
        found = self.sets.get(type_url)
        return _empty_set(type_url) if found is None else found

    def version(self, type_url: str) -> str:
        """A hash over the names and versions of a type's resources."""
        return self.resources(type_url).version

    def check_consistent(self) -> None:
        """Raises `InconsistentSnapshot` when a resource names one that is missing, or endpoints or routes are named by nothing."""
        if self.faults:
            raise InconsistentSnapshot(self.faults)

    @cached_property
    def faults(self) -> list[str]:
        """Why the snapshot must not be served; looked for once."""
        named: set[Reference] = {(type_urls.ENDPOINT, LOCAL_CLUSTER)}
        faults = []
        for type_url, resources in self.sets.items():
            for resource in resources.values():
                named |= resource.references
                faults += [
                    f"{type_urls.short_name(type_url)} {resource.name!r} names {type_urls.short_name(needed)} {name!r}, which is missing"
                    for needed, name in sorted(resource.references)
                    if name not in self.resources(needed)
                ]
        for type_url in (type_urls.ENDPOINT, type_urls.ROUTE):
            faults += [
                f"{type_urls.short_name(type_url)} {name!r} is named by nothing in the snapshot"
                for name in self.resources(type_url)
                if (type_url, name) not in named
            ]
        return faults


def version_of(type_url: str, versions: Mapping[str, str]) -> str:
    """The version of a set of resources: a hash over type, names and their versions."""
    digest = blake2b(type_url.encode(), digest_size=8)
    for name in sorted(versions):
        digest.update(f"\0{name}\0{versions[name]}".encode())
    return digest.hexdigest()


def _digest(payload: bytes) -> str:
    return blake2b(payload, digest_size=8).hexdigest()


def _checked(type_url: str, name: str, message: Message) -> Resource:
    own_type = type_urls.PREFIX + message.DESCRIPTOR.full_name
    if own_type != type_url:
        raise ValueError(f"resource {name!r} is a {own_type}, not a {type_url}")
    own_name = getattr(message, "cluster_name" if type_url == type_urls.ENDPOINT else "name")
    if own_name != name and type_url != type_urls.VIRTUAL_HOST:
        raise ValueError(f"{type_urls.short_name(type_url)} {name!r} calls itself {own_name!r}: the two names must be one")
    return Resource.of(name, message)


@lru_cache(maxsize=64)
def _empty_set(type_url: str) -> ResourceSet:
    return ResourceSet(type_url, {})
