"""What must hold between the outer edges and the rest of a stack config; see `rules`."""

from collections.abc import Iterator
from ipaddress import IPv4Network
from itertools import chain

from model.edge import OuterSpec
from model.problems import Problem
from model.spec import LOCAL_NETWORK

ANOTHER_RANGE = "take a range of its own, for example `10.30.0.0/16`"


def check(
    place: str,
    outer: list[OuterSpec],
    *,
    root: str,
    region: str | None,
    network: IPv4Network | None,
    nat: str | None,
    elastic_ips: int,
    local: bool,
) -> Iterator[Problem]:
    """All problems; `place` is that of the list, `region`, `network` and `nat` are the mesh's own where they are known."""
    found = chain(
        _regions_differ(place, outer, region),
        _ranges_are_apart(place, outer, root=root, network=network),
        _ranges_fit_the_runtime(place, outer, local=local),
        _regions_can_be_asked(place, outer, nat),
        _images_are_pinned(place, outer, local=local),
        _elastic_ips_are_enough(place, outer, elastic_ips),
    )
    yield from found


def _regions_differ(place: str, outer: list[OuterSpec], region: str | None) -> Iterator[Problem]:
    owners = {region: "the mesh itself"} if region else {}
    for index, spec in enumerate(outer):
        if owner := owners.get(spec.region):
            rule = f"outer edges stand in other regions, one entry a region; this one has {owner}"
            yield Problem(f"{place}[{index}].region", repr(spec.region), rule, "name another region, or raise `instances`")
        owners.setdefault(spec.region, f"{place}[{index}]")


def _ranges_are_apart(place: str, outer: list[OuterSpec], *, root: str, network: IPv4Network | None) -> Iterator[Problem]:
    taken = [(f"{root}.network.cidr", network)] if network else []
    for index, spec in enumerate(outer):
        path = f"{place}[{index}].cidr"
        if other := next((item for item in taken if item[1].overlaps(spec.cidr)), None):
            rule = f"it overlaps {other[0]} ({other[1]}), so the two VPCs cannot be peered"
            yield Problem(path, str(spec.cidr), rule, ANOTHER_RANGE)
        taken.append((path, spec.cidr))


def _ranges_fit_the_runtime(place: str, outer: list[OuterSpec], *, local: bool) -> Iterator[Problem]:
    for index, spec in enumerate(outer):
        path, loopback = f"{place}[{index}].cidr", spec.cidr.subnet_of(LOCAL_NETWORK)
        if loopback and not local:
            rule = "127.0.0.0/8 is this machine's loopback; no VPC on AWS can have it"
            yield Problem(path, str(spec.cidr), rule, "write for example `10.30.0.0/16`")
        if local and not loopback:
            rule = "a local stack's machines live on loopback"
            yield Problem(path, str(spec.cidr), rule, "start it by `./mesh up`, which takes free ranges")


def _regions_can_be_asked(place: str, outer: list[OuterSpec], nat: str | None) -> Iterator[Problem]:
    if outer and nat == "none":
        rule = "control planes and Prometheus ask EC2 of those regions for machines; without NAT they reach the mesh's own region alone"
        yield Problem(place, ", ".join(spec.region for spec in outer), rule, "write `network: {nat: single}`, or remove the outer edges")


def _images_are_pinned(place: str, outer: list[OuterSpec], *, local: bool) -> Iterator[Problem]:
    for index, spec in enumerate(outer):
        if not local and spec.ami is None:
            rule = "a machine image belongs to one region, so outer edges on AWS name their own"
            yield Problem(f"{place}[{index}].ami", "(not set)", rule, f"add `ami: ami-…` with an Ubuntu 24.04 LTS image of {spec.region}")


def _elastic_ips_are_enough(place: str, outer: list[OuterSpec], elastic_ips: int) -> Iterator[Problem]:
    for index, spec in enumerate(outer):
        if spec.instances > elastic_ips:
            yield Problem(
                f"{place}[{index}].instances",
                str(spec.instances),
                f"each has an Elastic IP; the account's quota is {elastic_ips} in a region",
                "lower it, or raise the quota at AWS and write it as `quotas: {elasticIps: …}`",
            )
