"""A VPC as far as it decides who reaches whom: places, security groups, network ACLs, route tables, peerings."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

ALL_PORTS = (0, 65535)


@dataclass(frozen=True, kw_only=True)
class Place:
    """One end of a connection."""

    name: str
    """What places of its kind share: a service's name, a role, `internet`, an AWS service."""
    id: str
    """Id of the instance, interface or endpoint."""
    address: IPv4Address
    subnet: str | None = None
    """Id of its subnet; places outside the VPCs have none."""
    vpc: str | None = None
    """Id of its VPC."""
    groups: frozenset[str] = frozenset()
    """Ids of its security groups."""
    is_public: bool = False
    """Whether it has a public address, without which an internet gateway takes nothing to it or from it."""
    listens_only: bool = False
    """An endpoint of AWS opens no connections."""
    prefix_list: str | None = None
    """The prefix list that stands for an AWS service behind a gateway endpoint."""


INTERNET = Place(name="internet", id="internet", address=IPv4Address("198.51.100.7"))
"""Any address of the internet that no rule names by itself (RFC 5737)."""


@dataclass(frozen=True, kw_only=True)
class GroupRule:
    """One rule of a security group, for TCP or for all protocols."""

    id: str
    group: str
    egress: bool
    ports: tuple[int, int]
    network: IPv4Network | None = None
    peer_group: str | None = None
    prefix_list: str | None = None
    description: str = ""

    def matches(self, peer: Place) -> bool:
        """Whether `peer` is whom the rule is about."""
        if self.network is not None:
            return peer.address in self.network
        if self.peer_group is not None:
            return self.peer_group in peer.groups
        return self.prefix_list is not None and self.prefix_list == peer.prefix_list


@dataclass(frozen=True, kw_only=True)
class AclEntry:
    """One numbered entry of a network ACL, for TCP or for all protocols."""

    number: int
    egress: bool
    allow: bool
    network: IPv4Network
    ports: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Acl:
    id: str
    name: str
    entries: tuple[AclEntry, ...]
    """In the order of their numbers; what none of them decides is refused."""


@dataclass(frozen=True, kw_only=True)
class Route:
    kind: Literal["local", "internet", "nat", "endpoint", "peering", "blackhole", "other"]
    """`other`: appliances and what else no mesh of ours has; nothing is taken to pass there."""
    target: str
    network: IPv4Network | None = None
    prefix_list: str | None = None


@dataclass(frozen=True, kw_only=True)
class RouteTable:
    id: str
    name: str
    routes: tuple[Route, ...]


@dataclass(frozen=True, kw_only=True)
class Vpc:
    """What was read of a VPC, or of several that are peered (`together`)."""

    id: str
    networks: tuple[IPv4Network, ...]
    places: tuple[Place, ...]
    """Machines, the interfaces of interface endpoints, and the services behind gateway endpoints."""
    group_names: Mapping[str, str]
    rules: tuple[GroupRule, ...]
    acls: Mapping[str, Acl]
    """Subnet -> its ACL."""
    tables: Mapping[str, RouteTable]
    """Subnet -> its route table."""
    subnet_names: Mapping[str, str]
    nat_subnets: Mapping[str, str]
    """NAT gateway that is available and has a public address -> its subnet."""
    peerings: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Peering connection that is active -> the two VPCs that it joins."""

    def internet(self) -> list[Place]:
        """`INTERNET` and one place for each range that a rule or an ACL singles out of it."""
        networks = {rule.network for rule in self.rules if rule.network}
        networks |= {entry.network for acl in self.acls.values() for entry in acl.entries}
        addresses = {network[1 if network.num_addresses > 1 else 0] for network in networks}
        inside = [address for address in addresses if any(address in network for network in self.networks)]
        named = sorted(address for address in addresses - set(inside) if address.is_global)
        return [INTERNET, *(replace(INTERNET, id=f"internet {address}", address=address) for address in named)]

    def ports(self) -> list[int]:
        """One port of every class of ports that no rule and no ACL tells apart."""
        ranges = [rule.ports for rule in self.rules]
        ranges += [entry.ports for acl in self.acls.values() for entry in acl.entries]
        starts = {1, *(first for first, _ in ranges), *(last + 1 for _, last in ranges)}
        return sorted(port for port in starts if 1 <= port <= ALL_PORTS[1])


def together(first: Vpc, *others: Vpc) -> Vpc:
    """Several VPCs as one world, in which places of different VPCs meet by peering alone; it goes by the first one's id."""
    if not others:
        return first
    other = together(*others)
    return Vpc(
        id=first.id,
        networks=(*first.networks, *other.networks),
        places=(*first.places, *other.places),
        group_names={**first.group_names, **other.group_names},
        rules=(*first.rules, *other.rules),
        acls={**first.acls, **other.acls},
        tables={**first.tables, **other.tables},
        subnet_names={**first.subnet_names, **other.subnet_names},
        nat_subnets={**first.nat_subnets, **other.nat_subnets},
        peerings={**first.peerings, **other.peerings},
    )
