"""Where the connected proxies stand."""

from collections.abc import Mapping
from dataclasses import dataclass

from apps.control_plane.node import Node


@dataclass(frozen=True, kw_only=True)
class TypeStatus:
    """How far one proxy is with one type: versions are of the whole set, empty when there is none yet."""

    sent: str
    acked: str
    nacked: str
    """The refused version, until a newer one is accepted."""
    error: str


@dataclass(frozen=True, kw_only=True)
class NodeStatus:
    """One stream of a connected proxy (over ADS a proxy has one), and where it stands by type URL."""

    node: Node
    api: str
    """`sotw` or `delta`."""
    types: Mapping[str, TypeStatus]
