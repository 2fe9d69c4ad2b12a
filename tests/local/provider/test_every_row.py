"""The contract of the table: every row goes through create, read, no-op, update, replacement, adoption and deletion against moto."""

from collections.abc import Callable
from typing import Any

import pytest

from local.provider.clients import Clients
from local.provider.engine import Engine
from local.provider.row import Properties
from local.provider.table import ROWS
from local.provider.wire import UNKNOWN
from tests.local.provider import cases_ec2, cases_others
from tests.local.provider.world import AMI, Case, World, urn_of, user_data

pytestmark = pytest.mark.components

CASES = [*cases_ec2.CASES, *cases_others.CASES]


def without_none(inputs: Properties) -> Properties:
    return {name: value for name, value in inputs.items() if value is not None}


def tokens(cases: list[Case]) -> list[Any]:
    return [pytest.param(case, id=case.token.split(":")[-1]) for case in cases]


def test_every_row_has_a_case() -> None:
    assert {case.token for case in CASES} == set(ROWS)


@pytest.mark.parametrize("case", tokens(CASES))
def test_a_row_creates_reads_updates_replaces_and_deletes(case: Case, engine: Engine) -> None:
    world = World(engine)
    urn = urn_of(case.token, f"it{world.number}")
    inputs, failures = engine.check(urn, {}, case.inputs(world))
    assert failures == []
    assert engine.create(urn, inputs, preview=True)[0] == ""
    resource_id, state = engine.create(urn, inputs)
    assert resource_id
    assert [name for name in case.outputs if not state.get(name)] == []
    assert not str(state.get("arn", "arn:aws:")).startswith("arn:aws:::"), state
    assert "mesh:urn" not in repr(state)

    assert engine.read(urn, resource_id, inputs, state) == state
    checked, _ = engine.check(urn, inputs, case.inputs(world))
    assert engine.diff(urn, resource_id, inputs, checked, state).changes == ()

    if case.update is not None:
        changed, failures = engine.check(urn, inputs, without_none({**case.inputs(world), **case.update(world)}))
        assert failures == []
        difference = engine.diff(urn, resource_id, inputs, changed, state)
        assert difference.changes
        assert difference.replaces == ()
        engine.update(urn, resource_id, inputs, changed, state, preview=True)
        state = engine.update(urn, resource_id, inputs, changed, state)
        assert engine.read(urn, resource_id, changed, state) == state
        inputs = changed

    wanted = case.replace(world)
    if wanted:
        given = without_none({**case.inputs(world), **wanted})
        renewed, _ = engine.check(urn, inputs, given)
        difference = engine.diff(urn, resource_id, inputs, renewed, state)
        assert difference.replaces, difference
        renewed, _ = engine.check(urn, {}, given)
        if difference.delete_before_replace:
            engine.delete(urn, resource_id, inputs, state)
        new_id, new_state = engine.create(urn, renewed)
        if not difference.delete_before_replace:
            engine.delete(urn, resource_id, inputs, state)
        assert engine.read(urn, new_id, renewed, new_state) is not None
        resource_id, inputs, state = new_id, renewed, new_state

    engine.delete(urn, resource_id, inputs, state)
    if case.loses_on_delete:
        assert engine.read(urn, resource_id, inputs, state) is None
        engine.delete(urn, resource_id, inputs, state)


@pytest.mark.parametrize("case", tokens([case for case in CASES if case.found_again]))
def test_a_killed_engines_leftover_is_adopted(case: Case, new_engine: Callable[[], Engine]) -> None:
    """The first engine dies before its state knows of the resource; the second one makes the same again."""
    first = new_engine()
    world = World(first)
    urn = urn_of(case.token, f"orphan{world.number}")
    inputs, _ = first.check(urn, {}, case.inputs(world))
    resource_id, state = first.create(urn, inputs)
    second = new_engine()
    again, _ = second.check(urn, {}, case.inputs(world))
    assert again == inputs
    adopted_id, adopted = second.create(urn, again)
    assert adopted_id == resource_id
    assert {**adopted, "version": 0} == {**state, "version": 0}
    second.delete(urn, adopted_id, again, adopted)


def test_an_update_that_rolls_machines_shows_in_the_preview(engine: Engine) -> None:
    urn = urn_of("aws:ec2/launchTemplate:LaunchTemplate", "rolls")
    inputs, _ = engine.check(urn, {}, {"imageId": AMI, "userData": user_data("one")})
    resource_id, state = engine.create(urn, inputs)
    shown = engine.update(urn, resource_id, inputs, {**inputs, "userData": user_data("two")}, state, preview=True)
    assert shown["latestVersion"] == UNKNOWN


def test_a_group_scaled_by_api_keeps_its_size_when_its_template_changes(engine: Engine, clients: Clients) -> None:
    """With `ignore_changes` the engine hands the old input on: it must not be sent."""
    world = World(engine)
    urn = urn_of("aws:autoscaling/group:Group", f"scaled{world.number}")
    inputs, _ = engine.check(
        urn,
        {},
        {
            "minSize": 0,
            "maxSize": 4,
            "desiredCapacity": 1,
            "launchTemplate": {"id": world.template, "version": "1"},
            "vpcZoneIdentifiers": [world.subnet],
        },
    )
    name, state = engine.create(urn, inputs)
    clients.get("autoscaling").set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=3)
    after = engine.update(urn, name, inputs, {**inputs, "maxSize": 5}, state)
    assert after["desiredCapacity"] == 3
    engine.delete(urn, name, inputs, state)


def test_a_resource_that_names_a_second_region_is_made_there(engine: Engine, clients: Clients) -> None:
    urn = urn_of("aws:ec2/vpc:Vpc", "outer")
    inputs, _ = engine.check(urn, {}, {"cidrBlock": "127.40.0.0/16", "region": "us-west-2"})
    vpc_id, state = engine.create(urn, inputs)
    assert state["arn"] == f"arn:aws:ec2:us-west-2:123456789012:vpc/{vpc_id}"
    assert clients.get("ec2", "us-west-2").describe_vpcs(VpcIds=[vpc_id])["Vpcs"][0]["CidrBlock"] == "127.40.0.0/16"
    engine.delete(urn, vpc_id, inputs, state)


def test_two_regions_are_joined_by_a_peering_with_routes_both_ways(
    engine: Engine, clients: Clients, new_engine: Callable[[], Engine]
) -> None:
    world = World(engine)
    far = {"region": "us-west-2"}
    vpc = world.make("aws:ec2/vpc:Vpc", "far-vpc", {"cidrBlock": "127.41.0.0/20", **far})
    table = world.make("aws:ec2/routeTable:RouteTable", "far-table", {"vpcId": vpc, **far})
    asked = {"vpcId": vpc, "peerVpcId": world.vpc, "peerRegion": "eu-central-1", **far}
    peering = world.make("aws:ec2/vpcPeeringConnection:VpcPeeringConnection", "between", asked)
    urn = urn_of("aws:ec2/vpcPeeringConnectionAccepter:VpcPeeringConnectionAccepter", f"accepted{world.number}")
    wanted = {"vpcPeeringConnectionId": peering, "autoAccept": True}
    _, accepted = engine.create(urn, wanted)
    assert (accepted["vpcId"], accepted["peerVpcId"], accepted["peerRegion"]) == (world.vpc, vpc, "us-west-2")
    assert accepted["acceptStatus"] == "active"
    assert new_engine().create(urn, wanted)[1] == accepted, "a killed run's acceptance is taken over"
    for number, (home, there, cidr) in enumerate(((table, far, "127.20.0.0/16"), (world.table, {}, "127.41.0.0/20"))):
        inputs = {"routeTableId": home, "destinationCidrBlock": cidr, "vpcPeeringConnectionId": peering, **there}
        world.make("aws:ec2/route:Route", f"over{number}-", inputs)
        tables = clients.get("ec2", there.get("region")).describe_route_tables(RouteTableIds=[home])["RouteTables"]
        assert {route["VpcPeeringConnectionId"] for route in tables[0]["Routes"] if route.get("DestinationCidrBlock") == cidr} == {peering}


def test_latency_records_of_one_name_lie_side_by_side(engine: Engine, clients: Clients) -> None:
    world = World(engine)
    name = f"edge.w{world.number}.internal"
    for region, address in (("eu-central-1", "192.0.2.1"), ("us-west-2", "192.0.2.2")):
        policy = {"setIdentifier": region, "latencyRoutingPolicies": [{"region": region}]}
        record = {"zoneId": world.zone, "name": name, "type": "A", "ttl": 60, "records": [address], **policy}
        world.make("aws:route53/record:Record", f"{region}-", record)
    listed = clients.get("route53").list_resource_record_sets(HostedZoneId=world.zone)["ResourceRecordSets"]
    assert {(one["SetIdentifier"], one["Region"]) for one in listed if one["Name"] == f"{name}."} == {
        ("eu-central-1", "eu-central-1"),
        ("us-west-2", "us-west-2"),
    }
