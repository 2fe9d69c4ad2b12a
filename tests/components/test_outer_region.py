"""Outer edges as the program declares them: all that they need lies in their region, and nothing of the rest moves there."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from components import firewall_rules
from components.firewall_rules import Rule
from model.read import read_mesh
from model.spec import MeshSpec

REGION = "us-east-1"
OUTER = [{"region": REGION, "cidr": "10.40.0.0/16", "ami": "ami-0fedcba9876543210"}]
JOINS = ("aws:ec2/vpcPeeringConnectionAccepter:VpcPeeringConnectionAccepter", "aws:ec2/route:Route")
"""What the peering makes in the stack's own region."""


def mesh(*regions: dict[str, Any]) -> MeshSpec:
    base = {"domain": "dev.mesh.internal", "network": {"cidr": "10.20.0.0/16"}, "machines": {"ami": "ami-0123456789abcdef0"}}
    services = {"web": {"image": {"build": "apps/web"}, "port": 8080, "routes": [{"prefix": "/"}]}}
    return read_mesh({**base, "services": services, "edge": {"outer": list(regions)}})


def test_all_that_outer_edges_need_lies_in_their_region_and_nothing_else(outer: Any) -> None:
    for resource in outer.resources:
        if not resource.type.startswith("aws:"):
            continue
        of_outer = resource.name.startswith("outer-") or (resource.name.startswith("tls-") and REGION in resource.name)
        everywhere = resource.type.startswith(("aws:iam/", "aws:route53/"))
        at_origin = resource.type in JOINS and "-peering-" in resource.name and not resource.name.endswith("-to-origin")
        expected = REGION if of_outer and not everywhere and not at_origin else None
        assert resource.inputs.get("region") == expected, resource.urn


def test_a_stack_without_outer_edges_names_no_region(dev: Any) -> None:
    assert [resource.urn for resource in dev.resources if "region" in resource.inputs] == []


def test_outer_edges_read_their_keys_in_their_own_region_and_nothing_of_anybody_else(outer: Any) -> None:
    policy = json.loads(outer.one("aws:iam/rolePolicy:RolePolicy", f"outer-edge-{REGION}-policy").inputs["policy"])
    (readable,) = [one["Resource"] for one in policy["Statement"] if one["Action"] == ["ssm:GetParameter", "ssm:GetParameters"]]
    stored = {
        f"arn:aws:ssm:{REGION}:*:parameter{one.inputs['name']}"
        for one in outer.of("aws:ssm/parameter:Parameter")
        if one.inputs.get("region") == REGION
    }
    assert set(readable) == stored
    assert len(stored) == 3
    taking = [one["Resource"] for one in policy["Statement"] if one["Action"] == ["ec2:AssociateAddress"]]
    assert taking == [[f"arn:aws:ec2:{REGION}:*:elastic-ip/*", f"arn:aws:ec2:{REGION}:*:instance/*"]]


def test_outer_edges_have_the_image_and_the_groups_of_their_region(outer: Any) -> None:
    for number in (0, 1):
        template = outer.one("aws:ec2/launchTemplate:LaunchTemplate", f"outer-edge-{REGION}-{number}-template").inputs
        assert template["imageId"] == "ami-0fedcba9876543210"
        (interface,) = template["networkInterfaces"]
        assert interface["securityGroups"] == [f"outer-{REGION}-firewall-outer-edge-id"]
        assert (template["tags"]["mesh:role"], template["tags"]["mesh:service"]) == ("outer-edge", REGION)


def test_the_certificate_that_edges_show_names_the_addresses_of_all(outer: Any) -> None:
    named = outer.one("tls:index/certRequest:CertRequest", "tls-edge-tls").inputs["ipAddresses"]
    inner = [f"publicIp-of-edge-address-{number}" for number in (0, 1)]
    assert named == [*inner, *(f"publicIp-of-outer-{REGION}-address-{number}" for number in (0, 1))]


def test_control_planes_may_finish_the_hooks_of_groups_in_every_region(outer: Any, dev: Any) -> None:
    def groups(program: Any) -> list[str]:
        policy = json.loads(program.one("aws:iam/rolePolicy:RolePolicy", "control-plane-policy").inputs["policy"])
        (found,) = [one["Resource"] for one in policy["Statement"] if "autoscaling:CompleteLifecycleAction" in one["Action"]]
        return [arn.split(":")[3] for arn in found]

    assert groups(dev) == ["eu-central-1"]
    assert groups(outer) == ["eu-central-1", REGION]


def test_a_public_zone_answers_with_the_nearest_region(outer: Any) -> None:
    records = {record.name: record.inputs for record in outer.of("aws:route53/record:Record") if record.name.startswith("public-dns-")}
    assert {name: (one["setIdentifier"], one["latencyRoutingPolicies"]) for name, one in records.items()} == {
        "public-dns-dev.mesh.internal": ("eu-central-1", [{"region": "eu-central-1"}]),
        f"public-dns-dev.mesh.internal-{REGION}": (REGION, [{"region": REGION}]),
    }
    there = records[f"public-dns-dev.mesh.internal-{REGION}"]
    assert there["records"] == [f"publicIp-of-outer-{REGION}-address-{number}" for number in (0, 1)]


def test_the_outputs_name_the_urls_of_each_region(outer: Any, dev: Any) -> None:
    urls = [f"https://publicIp-of-outer-{REGION}-address-{number}" for number in (0, 1)]
    assert outer.stack_outputs["outerEdgeUrls"] == {REGION: urls}
    assert not dev.stack_outputs["outerEdgeUrls"]


def test_routes_lead_over_the_peering_from_every_table_once_it_is_accepted(outer: Any) -> None:
    routes = [one for one in outer.of("aws:ec2/route:Route") if one.inputs.get("vpcPeeringConnectionId")]
    assert {(one.inputs["routeTableId"], one.inputs["destinationCidrBlock"]) for one in routes} == {
        (f"outer-{REGION}-network-public-id", "10.20.0.0/16"),
        *((f"network-{table}-id", "10.40.0.0/16") for table in ("public", "private-eu-central-1a", "private-eu-central-1b")),
    }
    accepter = outer.one(JOINS[0], f"outer-{REGION}-peering-accepter")
    assert all(accepter.urn in one.dependencies for one in routes)


def test_outer_edges_change_nothing_of_services_control_planes_and_the_database_but_the_control_planes_rights(
    run: Callable[..., Any], configs: Callable[[str], dict[str, Any]], dev: Any
) -> None:
    config = configs("dev")
    config["envoy-mesh:mesh"]["edge"]["outer"] = OUTER
    before = {(r.type, r.name): r.inputs for r in dev.resources}
    after = {(r.type, r.name): r.inputs for r in run(config).resources}
    assert {name[1] for name in before if before[name] != after.get(name)} == {
        "control-plane-policy",  # hooks of groups there
        "document-mesh",
        *("edge-0-template", "edge-1-template"),  # what a connection of outer edges may do
        "identity-template",  # where it may send browsers back to
        "monitoring-template",  # where it looks for machines
        "tls-edge-tls",  # the addresses of all edges
    }


FROM_OUTER = {
    Rule("outer-edge", "edge", 8444),
    Rule("outer-edge", "control-plane", 18000),
    Rule("control-plane", "outer-edge", 9902),
    Rule("monitoring", "outer-edge", 9902),
}


def test_the_stacks_own_groups_let_in_outer_edges_for_three_reasons_only() -> None:
    assert set(firewall_rules.rules(mesh(*OUTER))) - set(firewall_rules.rules(mesh())) == FROM_OUTER
    ranges = firewall_rules.networks(mesh(*OUTER))
    assert [str(one) for one in ranges["outer-edge"]] == ["10.40.0.0/16"]


def test_outer_groups_know_the_origin_by_its_subnets() -> None:
    spec = mesh(*OUTER)
    ranges = firewall_rules.outer_networks(spec, 2)
    assert {name: [str(one) for one in networks] for name, networks in ranges.items() if name != "internet"} == {
        "edge": ["10.20.16.0/21", "10.20.48.0/21"],
        "fixed": ["10.20.24.0/24", "10.20.56.0/24"],
    }
    known = {*ranges, *firewall_rules.outer_groups()}
    assert {name for rule in firewall_rules.outer_rules(spec) for name in (rule.caller, rule.callee)} == known


def test_each_range_of_a_party_counts_as_a_rule() -> None:
    sides = ("north", "south", "east", "west")
    names = [f"{area}-{side}-{number}" for area in ("eu", "us", "ap") for side in sides for number in range(1, 6)]
    many = [{**OUTER[0], "region": name, "cidr": f"10.{number}.0.0/16"} for number, name in enumerate(names, start=100)]
    with pytest.raises(ValueError, match="security group 'control-plane' needs 63 rules in, the quota is 60"):
        firewall_rules.rules(mesh(*many))
