"""What a machine tells of itself in `node.metadata.mesh`; only listeners and the `app` cluster depend on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import PurePosixPath

from model.contract import RUN_DIR, NodeId


@dataclass(frozen=True, kw_only=True)
class MachineFacts:
    """`public` are further addresses to listen on: an edge's Elastic IP where the machine itself holds it (local run).

    `tls` is the directory of the machine's own mesh certificate.
    """

    node: NodeId
    address: str
    loopback: str
    public: tuple[str, ...] = ()
    tls: str = f"{RUN_DIR}/tls"

    @classmethod
    def read(cls, node: NodeId, facts: Mapping[str, str]) -> "MachineFacts":
        """Reads `address`, `loopback`, `addresses` (comma-separated) and `tls`; raises ValueError naming node, fact and value."""

        def checked(fact: str, value: str) -> str:
            try:
                return str(IPv4Address(value))
            except ValueError:
                raise ValueError(
                    f"node {node}: metadata mesh.{fact} is {value!r}, which is no IPv4 address; /etc/mesh/machine.env must give it"
                ) from None

        own = checked("address", facts.get("address", ""))
        others = [checked("addresses", item.strip()) for item in facts.get("addresses", "").split(",") if item.strip()]
        directory = facts.get("tls", cls.tls)
        if not PurePosixPath(directory).is_absolute():
            raise ValueError(f"node {node}: metadata mesh.tls is {directory!r}, which is no absolute path; its bootstrap must give it")
        return cls(
            node=node,
            address=own,
            loopback=checked("loopback", facts.get("loopback", "")),
            tls=directory,
            public=tuple(dict.fromkeys(item for item in others if item != own)),
        )
