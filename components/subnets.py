"""Which part of a VPC's range each subnet gets: pure arithmetic, no resources.

The range is cut into eight zone blocks whatever the number of zones, so a zone added later moves no other. Of its
block a zone's private subnet takes the first half, the public one the next quarter, the fixed-address one a small
piece of the rest. The last two blocks hold no subnet.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

ZONE_BITS = 3
"""The VPC's range is divided by 2 to this power; each zone has one part."""
MOST_ZONES = 6
"""No AWS region has more zones."""
FIXED_BITS = 8
"""The fixed subnet is the VPC's range divided by 2 to this power, but at least of the size below."""
SMALLEST_FIXED = 27
"""Prefix length of a fixed subnet whose head is kept and whose tail has room for the primary addresses of two machines for each
fixed address, as there are while one takes the other's place."""
HEAD = 28
"""Prefix length of the head of a fixed subnet: addresses that EC2 gives to nobody, so that they are free for who claims them."""
SMALLEST_VPC = 20
FIRST_FREE = 4
"""AWS keeps the first four addresses of each subnet (and the last) for itself."""


@dataclass(frozen=True, kw_only=True)
class ZoneSubnets:
    """The three ranges of one zone."""

    public: IPv4Network
    """Edges and NAT gateways."""
    private: IPv4Network
    """Service groups."""
    fixed: IPv4Network
    """Machines whose address is known beforehand."""

    @property
    def head(self) -> IPv4Network:
        """The part of the fixed range that those addresses are in."""
        return next(self.fixed.subnets(new_prefix=HEAD))


def plan(cidr: IPv4Network, zones: int) -> list[ZoneSubnets]:
    """The ranges of the first `zones` zones; a zone's ranges depend on its place in the list alone."""
    if cidr.prefixlen > SMALLEST_VPC:
        raise ValueError(f"{cidr} is too small for {MOST_ZONES} zones of three subnets: take /{SMALLEST_VPC} or larger")
    if not 1 <= zones <= MOST_ZONES:
        raise ValueError(f"{zones} zones: a mesh spreads over 1 to {MOST_ZONES}")
    blocks = list(cidr.subnets(prefixlen_diff=ZONE_BITS))
    return [_zone(block, fixed_prefix=min(cidr.prefixlen + FIXED_BITS, SMALLEST_FIXED)) for block in blocks[:zones]]


def _zone(block: IPv4Network, *, fixed_prefix: int) -> ZoneSubnets:
    private, rest = block.subnets(prefixlen_diff=1)
    public, spare = rest.subnets(prefixlen_diff=1)
    return ZoneSubnets(public=public, private=private, fixed=next(spare.subnets(new_prefix=fixed_prefix)))


def fixed_address(subnet: IPv4Network, host: int) -> IPv4Address:
    """The address of machine number `host` (0, 1, …) of a fixed subnet."""
    room = 2 ** (subnet.max_prefixlen - HEAD) - FIRST_FREE
    if not 0 <= host < room:
        raise ValueError(f"machine {host} of {subnet}: the subnet's head has room for machines 0 to {room - 1}")
    return subnet[FIRST_FREE + host]


def zone_names(region: str, count: int) -> list[str]:
    """Names of a region's first zones; stacks whose account lacks one of them name their zones in the config."""
    return [f"{region}{letter}" for letter in "abcdef"[:count]]
