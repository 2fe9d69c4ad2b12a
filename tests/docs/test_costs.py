"""The costs page adds up, and counts what the stack files ask for."""

import re

import pytest

from components.machine_settings import ROOT_DISK_GIB
from docs import costs_page
from docs.costs_page import STACKS, Prices, bill, machines, read_prices, read_stack
from model.read import read_mesh

SMALL = {
    "domain": "a.internal",
    "network": {"cidr": "10.1.0.0/16", "zones": 2, "nat": "none"},
    "edge": {"instances": 2, "instanceType": "t3.small"},
    "services": {"web": {"image": {"ref": "web:1"}, "port": 80, "replicas": {"min": 3, "max": 4}}},
    "machines": {"ami": "ami-00000000"},
}


@pytest.fixture(scope="module")
def prices() -> Prices:
    return read_prices()


def rows_of(stack: str) -> list[list[str]]:
    part = costs_page.page().split(f"## `{stack}`")[1].split("One machine more")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line.startswith("| ")]


def number(text: str) -> float:
    return float(text.replace(",", "").replace("*", ""))


@pytest.mark.parametrize("stack", STACKS)
def test_the_total_of_a_stack_is_the_sum_of_its_lines(stack: str) -> None:
    rows = [row for row in rows_of(stack) if re.search(r"\d", row[3])]
    *items, total = rows
    assert total[0] == "**total**"
    assert number(total[3]) == pytest.approx(sum(number(row[3]) for row in items), abs=0.005 * len(items))


@pytest.mark.parametrize("stack", STACKS)
def test_the_first_table_repeats_the_totals_that_the_price_table_gives(stack: str, prices: Prices) -> None:
    total = sum(item.month for item in bill(read_stack(stack), prices))
    assert re.search(rf"\| `{stack}` \| \d+ \| \d+ \| \*\*{total:,.2f}\*\* \|", costs_page.page())


def test_a_bill_follows_the_config(prices: Prices) -> None:
    mesh = read_mesh(SMALL)
    assert machines(mesh) == {"t3.small": 2 + 2 + 3, "t3.medium": 1}
    lines = {item.what: item.count for item in bill(mesh, prices)}
    assert lines["EBS gp3, GiB: root disks and data volumes"] == 8 * ROOT_DISK_GIB + 20
    assert lines["public IPv4 addresses: edges and NAT"] == 2
    assert lines["Secrets Manager secrets"] == 1
    assert "NAT gateways" not in lines
    assert "*assumed:* GB through NAT gateways" not in lines
    assert lines["interface endpoints, each in each zone"] == 11 * 2


def test_a_nat_gateway_in_each_zone_is_paid_in_each_zone(prices: Prices) -> None:
    mesh = read_mesh({**SMALL, "network": {"cidr": "10.1.0.0/16", "zones": 3, "nat": "per-zone"}})
    lines = {item.what: item for item in bill(mesh, prices)}
    assert lines["NAT gateways"].month == pytest.approx(3 * 730 * prices.units["nat_gateway"])
    assert lines["public IPv4 addresses: edges and NAT"].count == 2 + 3


def test_an_instance_type_without_a_price_is_named_with_the_place_to_add_it(prices: Prices) -> None:
    with pytest.raises(ValueError, match=r"prices\.yaml has no price of 'x9\.huge'"):
        prices.instance("x9.huge")


@pytest.mark.parametrize("stack", STACKS)
def test_the_page_gives_the_date_and_warns(stack: str, prices: Prices) -> None:
    page = costs_page.page()
    assert "Check before you rely on it" in page
    assert str(prices.date) in page
    assert f"## `{stack}`" in page


def test_a_region_of_outer_edges_adds_its_machines_addresses_and_the_way_between(prices: Prices) -> None:
    outer = {"region": "us-east-1", "cidr": "10.40.0.0/16", "instances": 3, "ami": "ami-00000000"}
    routed = {**SMALL, "network": {"cidr": "10.1.0.0/16", "zones": 2, "nat": "single"}}
    mesh, grown = read_mesh(routed), read_mesh({**routed, "edge": {"instances": 2, "instanceType": "t3.small", "outer": [outer]}})
    before, after = ({item.what: item.count for item in bill(one, prices)} for one in (mesh, grown))
    assert {what: after[what] - before.get(what, 0) for what in after if after[what] != before.get(what)} == {
        "EC2 t3.small": 3,
        "EBS gp3, GiB: root disks and data volumes": 3 * ROOT_DISK_GIB,
        "public IPv4 addresses: edges and NAT": 3,
        "*assumed:* GB between regions": prices.assumptions["region_gb"],
    }
    assert "## One region of outer edges" in costs_page.page()
