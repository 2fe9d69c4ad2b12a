"""Address arithmetic: it holds for every range and number of zones. It does not prove that AWS has the zones."""

from ipaddress import IPv4Network
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import subnets
from components.control_plane import addresses as control_plane_addresses
from components.database import address as database_address
from components.identity_provider import address as identity_address
from components.monitoring import address as monitoring_address
from model.rules import AWS_RESERVED_ADDRESSES, SUBNET_BITS

ranges = st.builds(
    lambda prefix, number: IPv4Network((number % 2**prefix << (32 - prefix), prefix)),
    st.integers(16, subnets.SMALLEST_VPC),
    st.integers(0, 2**32 - 1),
)
SMALLEST_OF_AWS = 28
zones = st.integers(1, subnets.MOST_ZONES)


def all_of(plan: list[subnets.ZoneSubnets]) -> list[IPv4Network]:
    return [subnet for zone in plan for subnet in (zone.public, zone.private, zone.fixed)]


@given(ranges, zones)
def test_subnets_lie_in_the_range_and_never_overlap(cidr: IPv4Network, count: int) -> None:
    planned = all_of(subnets.plan(cidr, count))
    assert len(planned) == 3 * count
    assert all(subnet.subnet_of(cidr) for subnet in planned)
    assert not any(one.overlaps(other) for one, other in combinations(planned, 2))


@given(ranges, zones, zones)
def test_a_further_zone_moves_no_other(cidr: IPv4Network, fewer: int, more: int) -> None:
    low, high = sorted((fewer, more))
    assert subnets.plan(cidr, high)[:low] == subnets.plan(cidr, low)


@given(ranges, zones)
def test_every_subnet_is_one_that_aws_takes(cidr: IPv4Network, count: int) -> None:
    assert all(16 <= subnet.prefixlen <= SMALLEST_OF_AWS for subnet in all_of(subnets.plan(cidr, count)))


@given(ranges, zones)
def test_the_end_of_the_range_stays_free_for_elastic_addresses_of_local_stacks(cidr: IPv4Network, count: int) -> None:
    end = list(cidr.subnets(prefixlen_diff=8))[-1]
    assert not any(subnet.overlaps(end) for subnet in all_of(subnets.plan(cidr, count)))


@given(ranges)
def test_private_subnets_have_the_room_that_the_config_is_checked_against(cidr: IPv4Network) -> None:
    assert subnets.plan(cidr, 1)[0].private.prefixlen == cidr.prefixlen + SUBNET_BITS


def test_a_small_range_is_refused_with_the_smallest_that_fits() -> None:
    with pytest.raises(ValueError, match=r"10.0.0.0/21 is too small .* take /20 or larger"):
        subnets.plan(IPv4Network("10.0.0.0/21"), 2)


@pytest.mark.parametrize("count", [0, 7])
def test_a_number_of_zones_that_no_region_has_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} zones: a mesh spreads over 1 to 6"):
        subnets.plan(IPv4Network("10.0.0.0/16"), count)


@given(ranges, zones)
def test_fixed_machines_have_addresses_of_their_own_that_aws_does_not_keep(cidr: IPv4Network, count: int) -> None:
    plan = subnets.plan(cidr, count)
    addresses = [*control_plane_addresses(plan), database_address(plan), monitoring_address(plan)]
    assert len(set(addresses)) == 4
    for address in addresses:
        (home,) = [zone.fixed for zone in plan if address in zone.fixed]
        assert int(address) - int(home.network_address) >= AWS_RESERVED_ADDRESSES - 1
        assert address != home.broadcast_address


@given(ranges, zones)
def test_fixed_addresses_are_in_a_head_that_leaves_room_for_primary_ones(cidr: IPv4Network, count: int) -> None:
    plan = subnets.plan(cidr, count)
    addresses = [*control_plane_addresses(plan), database_address(plan), monitoring_address(plan), identity_address(plan)]
    for zone in plan:
        claimed = [address for address in addresses if address in zone.fixed]
        assert all(address in zone.head for address in claimed)
        room = zone.fixed.num_addresses - zone.head.num_addresses - 1
        assert room >= 2 * len(claimed), "while one machine takes the other's place both have a primary address"


def test_the_smallest_network_has_its_fixed_addresses_in_one_zone() -> None:
    (zone,) = subnets.plan(IPv4Network("10.0.0.0/20"), 1)
    assert (str(zone.fixed), str(zone.head)) == ("10.0.1.128/27", "10.0.1.128/28")


def test_control_planes_stand_in_two_zones_where_there_are_two() -> None:
    plan = subnets.plan(IPv4Network("10.20.0.0/16"), 2)
    assert [str(address) for address in control_plane_addresses(plan)] == ["10.20.24.4", "10.20.56.4"]
    assert [str(address) for address in control_plane_addresses(plan[:1])] == ["10.20.24.4", "10.20.24.5"]


def test_a_full_fixed_subnet_refuses_one_more_machine() -> None:
    with pytest.raises(ValueError, match=r"machine 12 of 10.0.0.0/27: the subnet's head has room for machines 0 to 11"):
        subnets.fixed_address(IPv4Network("10.0.0.0/27"), 12)
