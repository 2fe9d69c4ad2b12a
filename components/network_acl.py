"""What the network ACLs let through, as data: they are stateless and whole-subnet, so they are the coarse second fence."""

from dataclasses import dataclass
from ipaddress import IPv4Network

ANYWHERE = IPv4Network("0.0.0.0/0")
TCP = "6"
ALL = "-1"
REPLIES = (1024, 65535)
"""Ports that a client may be answered on; NAT gateways use the whole range."""


@dataclass(frozen=True, kw_only=True)
class AclEntry:
    """One numbered allowance; what no entry allows is refused."""

    number: int
    egress: bool
    protocol: str
    peer: IPv4Network
    """The other side: source of what comes in, destination of what goes out."""
    ports: tuple[int, int]


def public_entries(cidr: IPv4Network, *, ports: tuple[int, ...]) -> list[AclEntry]:
    """Public subnets: the edge's ports and replies from anywhere, everything from the VPC, everything out."""
    entries = _from_vpc_and_replies(cidr)
    for offset, port in enumerate(sorted(ports)):
        entries.append(AclEntry(number=300 + offset, egress=False, protocol=TCP, peer=ANYWHERE, ports=(port, port)))
    return entries


def private_entries(cidr: IPv4Network) -> list[AclEntry]:
    """Private and fixed-address subnets: only the VPC comes in, and replies to what went out through NAT."""
    return _from_vpc_and_replies(cidr)


def _from_vpc_and_replies(cidr: IPv4Network) -> list[AclEntry]:
    return [
        AclEntry(number=100, egress=False, protocol=ALL, peer=cidr, ports=(0, 0)),
        AclEntry(number=200, egress=False, protocol=TCP, peer=ANYWHERE, ports=REPLIES),
        AclEntry(number=100, egress=True, protocol=ALL, peer=ANYWHERE, ports=(0, 0)),
    ]
