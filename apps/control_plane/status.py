"""Where the connected proxies stand."""

from collections.abc import Mapping
from dataclasses import dataclass

from apps.control_plane.node import Node
from apps.control_plane.type_urls import short_name


@dataclass(frozen=True, kw_only=True)
class TypeStatus:
    """How far one proxy is with one type: versions are of the whole set, empty when there is none yet."""

    sent: str
    acked: str
    nacked: str
    """The refused version, until a newer one is accepted."""
    error: str


@dataclass(frozen=True, kw_only=True)
class Behind:
    """A proxy that has not what the served document says."""

    reason: str
    keeps: bool
    """Whether it had something from this control plane before, with which it goes on."""


@dataclass(frozen=True, kw_only=True)
class NodeStatus:
    """One stream of a connected proxy (over ADS a proxy has one), and where it stands by type URL."""

    node: Node
    api: str
    """`sotw` or `delta`."""
    types: Mapping[str, TypeStatus]
    answered: bool
    """Whether it has accepted all that it should have, or refused some of it."""

    @property
    def behind(self) -> Behind | None:
        """What it refuses, if it does."""
        for type_url, one in self.types.items():
            if one.nacked:
                return Behind(reason=f"it refuses {short_name(type_url)}: {one.error}", keeps=bool(one.acked))
        return None
