"""What moto holds of the network: subnets, routes, gateways, ACLs, flow logs."""

from collections import Counter
from typing import Any

import pytest

pytestmark = pytest.mark.components


@pytest.fixture(scope="module")
def ec2(deployment: Any) -> Any:
    return deployment.client("ec2")


@pytest.fixture(scope="module")
def vpc(deployment: Any) -> str:
    return str(deployment.program.stack_outputs["vpcId"])


def of_vpc(vpc: str) -> list[dict[str, Any]]:
    return [{"Name": "vpc-id", "Values": [vpc]}]


def test_each_zone_has_a_public_a_private_and_a_fixed_subnet(ec2: Any, vpc: str) -> None:
    subnets = ec2.describe_subnets(Filters=of_vpc(vpc))["Subnets"]
    ranges = {(subnet["AvailabilityZone"], subnet["CidrBlock"]) for subnet in subnets}
    assert ranges == {
        ("eu-central-1a", "10.20.0.0/20"),
        ("eu-central-1a", "10.20.16.0/21"),
        ("eu-central-1a", "10.20.24.0/24"),
        ("eu-central-1b", "10.20.32.0/20"),
        ("eu-central-1b", "10.20.48.0/21"),
        ("eu-central-1b", "10.20.56.0/24"),
    }
    assert not any(subnet["MapPublicIpOnLaunch"] for subnet in subnets)


def test_public_subnets_leave_by_the_internet_gateway_and_the_others_by_nat(ec2: Any, vpc: str) -> None:
    ways = Counter()
    for table in ec2.describe_route_tables(Filters=of_vpc(vpc))["RouteTables"]:
        for route in table["Routes"]:
            if route.get("DestinationCidrBlock") == "0.0.0.0/0":
                kind = "internet" if str(route.get("GatewayId", "")).startswith("igw-") else "nat" if route.get("NatGatewayId") else "?"
                ways[kind, sum("SubnetId" in association for association in table["Associations"])] += 1
    assert ways == {("internet", 2): 1, ("nat", 2): 2}


def test_one_nat_gateway_stands_in_the_first_public_subnet(ec2: Any, vpc: str, deployment: Any) -> None:
    gateways = ec2.describe_nat_gateways(Filters=of_vpc(vpc))["NatGateways"]
    public = deployment.id_of("aws:ec2/subnet:Subnet", "network-public-eu-central-1a")
    assert [gateway["SubnetId"] for gateway in gateways] == [public]


def test_s3_is_reached_by_a_gateway_endpoint_on_every_private_route_table(ec2: Any, vpc: str) -> None:
    (endpoint,) = ec2.describe_vpc_endpoints(Filters=of_vpc(vpc))["VpcEndpoints"]
    assert (endpoint["VpcEndpointType"], endpoint["ServiceName"]) == ("Gateway", "com.amazonaws.eu-central-1.s3")
    assert len(endpoint["RouteTableIds"]) == 2


def test_private_subnets_let_in_the_vpc_and_replies_only(ec2: Any, vpc: str, deployment: Any) -> None:
    private = deployment.id_of("aws:ec2/networkAcl:NetworkAcl", "network-private")
    (acl,) = ec2.describe_network_acls(NetworkAclIds=[private])["NetworkAcls"]
    allowed = {
        (entry["Protocol"], entry["CidrBlock"], entry.get("PortRange", {}).get("From"), entry.get("PortRange", {}).get("To"))
        for entry in acl["Entries"]
        if not entry["Egress"] and entry["RuleAction"] == "allow"
    }
    assert {entry[:2] for entry in allowed} == {("-1", "10.20.0.0/16"), ("6", "0.0.0.0/0")}
    assert ("6", "0.0.0.0/0", 1024, 65535) in allowed
    assert len(acl["Associations"]) == 4


def test_public_subnets_let_in_the_edges_ports_besides(ec2: Any, deployment: Any) -> None:
    public = deployment.id_of("aws:ec2/networkAcl:NetworkAcl", "network-public")
    (acl,) = ec2.describe_network_acls(NetworkAclIds=[public])["NetworkAcls"]
    ports = {
        entry["PortRange"]["From"]
        for entry in acl["Entries"]
        if not entry["Egress"] and entry["CidrBlock"] == "0.0.0.0/0" and entry["RuleAction"] == "allow" and "PortRange" in entry
    }
    assert ports == {80, 443, 1024}


def test_flow_logs_record_all_traffic(ec2: Any, vpc: str) -> None:
    (log,) = ec2.describe_flow_logs(Filters=[{"Name": "resource-id", "Values": [vpc]}])["FlowLogs"]
    assert log["TrafficType"] == "ALL"
    assert log["LogDestinationType"] == "cloud-watch-logs"
