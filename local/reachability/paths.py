"""Follows one connection through the fences of a VPC and names the rule that decides at each, or the rule that is missing."""

from collections.abc import Iterator
from dataclasses import dataclass

from local.reachability.vpc import Place, RouteTable, Vpc
from local.reachability.vpc import Route as VpcRoute

EPHEMERAL = (1024, 65535)
"""Ports that a caller may be answered on: it may choose any, and ACLs keep no state, so all must be open."""
_NO_GROUP = "no security group"


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one fence says."""

    passes: bool
    rule: str
    """The rule that decides, or which one is missing."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a connection can be opened."""

    caller: Place
    callee: Place
    port: int
    steps: tuple[Step, ...]
    """Everything on the way, also what comes after the first refusal."""

    @property
    def reachable(self) -> bool:
        return all(step.passes for step in self.steps)

    @property
    def refusals(self) -> list[str]:
        """Every rule that refuses, and every one that is missing, in the order of the way."""
        return [step.rule for step in self.steps if not step.passes]


def reach(vpc: Vpc, caller: Place, callee: Place, port: int) -> Verdict:
    """Can `caller` open a TCP connection to `port` of `callee`? One of the two at least is in a VPC that was read."""
    steps: list[Step] = []
    if caller.subnet:
        steps.append(_group(vpc, caller, callee, port, egress=True))
        steps += _way_out(vpc, caller, callee, port)
    if callee.subnet:
        steps += _way_in(vpc, caller, callee, port)
        steps.append(_group(vpc, callee, caller, port, egress=False))
    return Verdict(caller=caller, callee=callee, port=port, steps=tuple(steps))


def _group(vpc: Vpc, owner: Place, peer: Place, port: int, *, egress: bool) -> Step:
    """Security groups only allow and keep state: one rule of any of the owner's groups is enough, answers need none."""
    for rule in vpc.rules:
        if rule.group in owner.groups and rule.egress is egress and rule.ports[0] <= port <= rule.ports[1] and rule.matches(peer):
            text = f"{'egress' if egress else 'ingress'} rule {rule.id} of {vpc.group_names[rule.group]}"
            return Step(passes=True, rule=f"{text} ({rule.description})" if rule.description else text)
    names = " | ".join(sorted(vpc.group_names[group] for group in owner.groups)) or _NO_GROUP
    return Step(
        passes=False, rule=f"no egress rule of {names} to {peer.name}" if egress else f"no ingress rule of {names} from {peer.name}"
    )


def _way_out(vpc: Vpc, caller: Place, callee: Place, port: int) -> Iterator[Step]:
    """The caller's half: its ACL in both directions and its route, with the NAT gateway's own if it leads there."""
    subnet = caller.subnet or ""
    if callee.subnet == subnet:
        yield Step(passes=True, rule=f"both in subnet {vpc.subnet_names[subnet]}")
        return
    yield from _acl(vpc, subnet, callee, request=(port, port), reply=EPHEMERAL, outward=True)
    route, table = _route(vpc, subnet, callee)
    if route is None or route.kind in ("blackhole", "other"):
        target = f"{route.kind} route" if route else "no route"
        yield Step(passes=False, rule=f"{target} of {table.name} to {callee.name}")
    elif route.kind == "internet" and not caller.is_public:
        yield Step(passes=False, rule=f"no public address of {caller.name}, which {table.name} sends to internet gateway {route.target}")
    elif _abroad(caller, callee) and not _joins(vpc, route, caller, callee):
        # A private address that no peering leads to is nowhere on the internet.
        yield Step(passes=False, rule=f"no active peering of {table.name} to {callee.name}, only {route.kind} route to {route.target}")
    else:
        yield Step(passes=True, rule=f"{route.kind} route of {table.name}")
    if route is not None and route.kind == "nat":
        yield from _nat(vpc, caller, callee, port, gateway=route.target)


def _nat(vpc: Vpc, caller: Place, callee: Place, port: int, *, gateway: str) -> Iterator[Step]:
    subnet = vpc.nat_subnets.get(gateway)
    if subnet is None:
        yield Step(passes=False, rule=f"NAT gateway {gateway} is not available or has no public address")
        return
    if caller.subnet != subnet:
        yield from _acl(vpc, subnet, caller, request=(port, port), reply=EPHEMERAL, outward=False)
    yield from _acl(vpc, subnet, callee, request=(port, port), reply=EPHEMERAL, outward=True)
    onward, table = _route(vpc, subnet, callee)
    passes = onward is not None and onward.kind == "internet"
    yield Step(passes=passes, rule=f"{'internet route' if passes else 'no internet route'} of {table.name} for NAT gateway {gateway}")


def _way_in(vpc: Vpc, caller: Place, callee: Place, port: int) -> Iterator[Step]:
    """The callee's half: its ACL in both directions, and the way that its answers take."""
    subnet = callee.subnet or ""
    if caller.subnet == subnet:
        return
    route, table = _route(vpc, subnet, caller)
    wanted = "peering" if _abroad(caller, callee) else "local" if caller.subnet else "internet"
    if route is None or route.kind != wanted or (wanted == "peering" and not _joins(vpc, route, caller, callee)):
        found = f", only by {route.kind} route" if route else ""
        missing = f"no active peering of {table.name}" if wanted == "peering" else f"no {wanted} route of {table.name}"
        yield Step(passes=False, rule=f"{missing} to {caller.name}{found}")
    elif wanted == "internet" and not callee.is_public:
        yield Step(passes=False, rule=f"no public address of {callee.name} for internet gateway {route.target}")
    else:
        yield Step(passes=True, rule=f"{route.kind} route of {table.name}")
    yield from _acl(vpc, subnet, caller, request=(port, port), reply=EPHEMERAL, outward=False)


def _abroad(caller: Place, callee: Place) -> bool:
    """Whether both are in a VPC, but not in the same one."""
    return bool(caller.subnet and callee.subnet and caller.vpc != callee.vpc)


def _joins(vpc: Vpc, route: VpcRoute, caller: Place, callee: Place) -> bool:
    """Whether a route leads over an active peering of just these two VPCs."""
    return route.kind == "peering" and vpc.peerings.get(route.target) == frozenset({caller.vpc, callee.vpc})


def _acl(vpc: Vpc, subnet: str, peer: Place, *, request: tuple[int, int], reply: tuple[int, int], outward: bool) -> list[Step]:
    """A subnet's ACL for a connection that goes out or comes in: the request one way, the reply the other."""
    ways = ((request, outward, "requests"), (reply, not outward, "replies"))
    return [_acl_direction(vpc, subnet, peer, ports, egress=egress, what=what) for ports, egress, what in ways]


def _acl_direction(vpc: Vpc, subnet: str, peer: Place, ports: tuple[int, int], *, egress: bool, what: str) -> Step:
    """The first entry that matches decides; a range may be decided piece by piece and passes only as a whole."""
    direction = f"{what} {'to' if egress else 'from'} {peer.name}"
    acl = vpc.acls.get(subnet)
    if acl is None:
        return Step(passes=False, rule=f"no network ACL of subnet {vpc.subnet_names[subnet]} for {direction}")
    undecided, numbers = [ports], []
    for entry in acl.entries:
        pieces = [rest for piece in undecided for rest in _outside(piece, entry.ports)]
        if entry.egress is not egress or peer.address not in entry.network or pieces == undecided:
            continue
        if not entry.allow:
            return Step(passes=False, rule=f"network ACL {acl.name} entry {entry.number} denies {direction}")
        undecided = pieces
        numbers.append(entry.number)
        if not undecided:
            return Step(passes=True, rule=f"network ACL {acl.name} entry {'+'.join(map(str, numbers))} for {direction}")
    return Step(passes=False, rule=f"no entry of network ACL {acl.name} for {direction}")


def _outside(piece: tuple[int, int], taken: tuple[int, int]) -> list[tuple[int, int]]:
    """What is left of a range of ports when another is taken from it."""
    below, above = (piece[0], min(piece[1], taken[0] - 1)), (max(piece[0], taken[1] + 1), piece[1])
    return list(dict.fromkeys(part for part in (below, above) if part[0] <= part[1]))


def _route(vpc: Vpc, subnet: str, peer: Place) -> tuple[VpcRoute | None, RouteTable]:
    """The narrowest route to the peer; a prefix list is narrower than any range that leaves the VPC."""
    table = vpc.tables[subnet]
    by_list = [route for route in table.routes if route.prefix_list and route.prefix_list == peer.prefix_list]
    by_range = [(route.network.prefixlen, route) for route in table.routes if route.network and peer.address in route.network]
    if by_list:
        return by_list[0], table
    return max(by_range, key=lambda found: found[0])[1] if by_range else None, table
