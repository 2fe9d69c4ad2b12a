"""What a machine tells of itself in `node.metadata.mesh`; only listeners and the `app` cluster depend on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from model.contract import NodeId


@dataclass(frozen=True, kw_only=True)
class MachineFacts:
    """`public` are further addresses to listen on: an edge's Elastic IP where the machine itself holds it (local run)."""

    node: NodeId
    address: str
    loopback: str
    public: tuple[str, ...] = ()

    @classmethod
    def read(cls, node: NodeId, facts: Mapping[str, str]) -> "MachineFacts":
        """Reads `address`, `loopback` and `addresses` (comma-separated); raises ValueError naming node, fact and value."""

        def checked(fact: str, value: str) -> str:
            try:
                return str(IPv4Address(value))
            except ValueError:
                raise ValueError(
                    f"node {node}: metadata mesh.{fact} is {value!r}, which is no IPv4 address; /etc/mesh/machine.env must give it"
                ) from None

        own = checked("address", facts.get("address", ""))
        others = [checked("addresses", item.strip()) for item in facts.get("addresses", "").split(",") if item.strip()]
        return cls(
            node=node,
            address=own,
            loopback=checked("loopback", facts.get("loopback", "")),
            public=tuple(dict.fromkeys(item for item in others if item != own)),
        )
