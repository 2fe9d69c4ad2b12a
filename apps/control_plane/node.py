"""A proxy as the control plane knows it: its id and the few facts that its configuration depends on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from sys import intern
from types import MappingProxyType

from envoy.config.core.v3.base_pb2 import Node as NodeMessage

from model.contract import NodeId

FACTS_KEY = "mesh"
"""Key of `node.metadata` under which the bootstrap puts the machine's facts."""


@dataclass(frozen=True)
class Node:
    """One Envoy. A node message is about 61 KB, nearly all of it extensions: the names are kept and shared, the rest is dropped."""

    id: NodeId
    facts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    """`address`, `loopback` and `zone` of the machine, as its bootstrap says."""
    extensions: frozenset[str] = field(default=frozenset(), hash=False, repr=False)
    """Names of the extensions compiled into this Envoy, for builders that choose between filters."""
    cluster: str = field(default="", hash=False)
    user_agent: str = field(default="", hash=False)
    """`envoy` for Envoy."""

    @classmethod
    def of(cls, message: NodeMessage) -> "Node":
        """Reads a node message; raises ValueError when the id is not one of the mesh's."""
        struct = message.metadata.fields[FACTS_KEY].struct_value if FACTS_KEY in message.metadata.fields else None
        facts = {intern(key): intern(value.string_value) for key, value in struct.fields.items()} if struct else {}
        return cls(
            NodeId.parse(message.id), MappingProxyType(facts), _shared(message), intern(message.cluster), intern(message.user_agent_name)
        )


_EXTENSION_SETS: dict[frozenset[str], frozenset[str]] = {}
_MAX_EXTENSION_SETS = 64


def _shared(message: NodeMessage) -> frozenset[str]:
    """All Envoys of one build say the same 516 names: keep one set for all of them."""
    names = frozenset(extension.name for extension in message.extensions)
    if len(_EXTENSION_SETS) >= _MAX_EXTENSION_SETS:
        _EXTENSION_SETS.clear()
    return _EXTENSION_SETS.setdefault(names, names)
