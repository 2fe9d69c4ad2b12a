"""Reads a VPC from EC2's describe calls; from here on nothing is asked of AWS."""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from local.reachability.vpc import ALL_PORTS, Acl, AclEntry, GroupRule, Place, Route, RouteTable, Vpc
from model.contract import TAG_ADDRESS, TAG_SERVICE

TCP = ("tcp", "6", "-1")
"""Protocols of rules that let TCP through, by name, by number, and all of them."""
LIVE = ("pending", "running")
SOMEWHERE = IPv4Address("192.0.2.1")
"""Stands for a service's public addresses, which a gateway endpoint's prefix list holds (RFC 5737)."""


def read_vpc(ec2: Any, vpc_id: str) -> Vpc:
    """The VPC of that id; `ec2` is a boto3 client of its region."""
    of_vpc = [{"Name": "vpc-id", "Values": [vpc_id]}]
    (vpc,) = _all(ec2, "describe_vpcs", "Vpcs", VpcIds=[vpc_id])
    subnets = _all(ec2, "describe_subnets", "Subnets", Filters=of_vpc)
    groups = _all(ec2, "describe_security_groups", "SecurityGroups", Filters=of_vpc)
    tables = _all(ec2, "describe_route_tables", "RouteTables", Filters=of_vpc)
    endpoints = _all(ec2, "describe_vpc_endpoints", "VpcEndpoints", Filters=of_vpc)
    gateways = _all(ec2, "describe_nat_gateways", "NatGateways", Filters=of_vpc)
    group_ids = {group["GroupId"] for group in groups}
    rules = _all(ec2, "describe_security_group_rules", "SecurityGroupRules")
    subnet_ids = [subnet["SubnetId"] for subnet in subnets]
    return Vpc(
        id=vpc_id,
        networks=tuple(IPv4Network(block["CidrBlock"]) for block in vpc["CidrBlockAssociationSet"]),
        places=(*_machines(ec2, of_vpc), *_interfaces(ec2, endpoints), *_services(endpoints, tables)),
        peerings=_peerings(_all(ec2, "describe_vpc_peering_connections", "VpcPeeringConnections")),
        group_names={group["GroupId"]: _name(group, "GroupName") for group in groups},
        rules=tuple(_rule(rule) for rule in rules if rule["GroupId"] in group_ids and rule["IpProtocol"] in TCP and "CidrIpv6" not in rule),
        acls=_acls(_all(ec2, "describe_network_acls", "NetworkAcls", Filters=of_vpc)),
        tables=_tables(tables, subnet_ids, {endpoint["VpcEndpointId"] for endpoint in endpoints}),
        subnet_names={subnet["SubnetId"]: _name(subnet, "SubnetId") for subnet in subnets},
        nat_subnets={
            gateway["NatGatewayId"]: gateway["SubnetId"]
            for gateway in gateways
            if gateway["State"] == "available" and any(address.get("PublicIp") for address in gateway["NatGatewayAddresses"])
        },
    )


def _all(ec2: Any, call: str, key: str, **arguments: Any) -> list[dict[str, Any]]:
    return [item for page in ec2.get_paginator(call).paginate(**arguments) for item in page[key]]


def _tags(resource: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in resource.get("Tags", resource.get("TagSet", []))}


def _name(resource: Mapping[str, Any], otherwise: str) -> str:
    return _tags(resource).get("Name") or str(resource[otherwise])


def _machines(ec2: Any, of_vpc: list[dict[str, Any]]) -> list[Place]:
    reservations = _all(ec2, "describe_instances", "Reservations", Filters=of_vpc)
    return [
        Place(
            name=_tags(instance).get(TAG_SERVICE, instance["InstanceId"]),
            id=instance["InstanceId"],
            address=IPv4Address(_tags(instance).get(TAG_ADDRESS) or instance["PrivateIpAddress"]),
            subnet=instance["SubnetId"],
            vpc=instance["VpcId"],
            groups=frozenset(group["GroupId"] for group in instance["SecurityGroups"]),
            is_public=bool(instance.get("PublicIpAddress")),
        )
        for reservation in reservations
        for instance in reservation["Instances"]
        if instance["State"]["Name"] in LIVE
    ]


def _interfaces(ec2: Any, endpoints: list[dict[str, Any]]) -> list[Place]:
    """Interface endpoints, one place for each of their addresses."""
    endpoint_of = {interface: endpoint for endpoint in endpoints for interface in endpoint.get("NetworkInterfaceIds", [])}
    if not endpoint_of:
        return []
    found = _all(ec2, "describe_network_interfaces", "NetworkInterfaces", NetworkInterfaceIds=sorted(endpoint_of))
    return [
        Place(
            name=_short(endpoint["ServiceName"]),
            id=interface["NetworkInterfaceId"],
            address=IPv4Address(interface["PrivateIpAddress"]),
            subnet=interface["SubnetId"],
            vpc=interface["VpcId"],
            groups=frozenset(group["GroupId"] for group in endpoint["Groups"]),
            listens_only=True,
        )
        for interface in found
        for endpoint in [endpoint_of[interface["NetworkInterfaceId"]]]
    ]


def _services(endpoints: list[dict[str, Any]], tables: list[dict[str, Any]]) -> list[Place]:
    """Services behind gateway endpoints; the prefix list of one is in the routes that lead to it."""
    lists = {
        route["GatewayId"]: route["DestinationPrefixListId"]
        for table in tables
        for route in table["Routes"]
        if route.get("DestinationPrefixListId") and route.get("GatewayId")
    }
    return [
        Place(
            name=_short(endpoint["ServiceName"]),
            id=endpoint["VpcEndpointId"],
            address=SOMEWHERE,
            listens_only=True,
            prefix_list=lists.get(endpoint["VpcEndpointId"]),
        )
        for endpoint in endpoints
        if endpoint["VpcEndpointType"] == "Gateway"
    ]


def _peerings(connections: list[dict[str, Any]]) -> dict[str, frozenset[str]]:
    return {
        one["VpcPeeringConnectionId"]: frozenset({one["RequesterVpcInfo"]["VpcId"], one["AccepterVpcInfo"]["VpcId"]})
        for one in connections
        if one["Status"]["Code"] == "active"
    }


def _short(service: str) -> str:
    """`com.amazonaws.eu-central-1.ecr.api` -> `aws:ecr.api`; a machine may be named as a service of AWS is."""
    return f"aws:{service.split('.', 3)[-1]}"


def _rule(rule: Mapping[str, Any]) -> GroupRule:
    is_all = rule["IpProtocol"] == "-1"
    return GroupRule(
        id=rule["SecurityGroupRuleId"],
        group=rule["GroupId"],
        egress=rule["IsEgress"],
        ports=ALL_PORTS if is_all else (rule["FromPort"], rule["ToPort"]),
        network=IPv4Network(rule["CidrIpv4"]) if rule.get("CidrIpv4") else None,
        peer_group=rule.get("ReferencedGroupInfo", {}).get("GroupId"),
        prefix_list=rule.get("PrefixListId"),
        description=rule.get("Description", ""),
    )


def _acls(acls: list[dict[str, Any]]) -> dict[str, Acl]:
    read = [(Acl(id=acl["NetworkAclId"], name=_name(acl, "NetworkAclId"), entries=_entries(acl)), acl["Associations"]) for acl in acls]
    return {association["SubnetId"]: acl for acl, associations in read for association in associations}


def _entries(acl: Mapping[str, Any]) -> tuple[AclEntry, ...]:
    entries = [
        AclEntry(
            number=entry["RuleNumber"],
            egress=entry["Egress"],
            allow=entry["RuleAction"] == "allow",
            network=IPv4Network(entry["CidrBlock"]),
            ports=ALL_PORTS if entry["Protocol"] == "-1" else (entry["PortRange"]["From"], entry["PortRange"]["To"]),
        )
        for entry in acl["Entries"]
        if "CidrBlock" in entry and entry["Protocol"] in TCP
    ]
    return tuple(sorted(entries, key=lambda entry: entry.number))


def _tables(tables: list[dict[str, Any]], subnets: list[str], endpoints: set[str]) -> dict[str, RouteTable]:
    """The table of each subnet: its own, else the VPC's main one."""
    explicit: dict[str, RouteTable] = {}
    main: RouteTable | None = None
    for raw in tables:
        routes = tuple(_route(route, endpoints) for route in raw["Routes"] if "DestinationIpv6CidrBlock" not in route)
        table = RouteTable(id=raw["RouteTableId"], name=_name(raw, "RouteTableId"), routes=routes)
        for association in raw["Associations"]:
            if association.get("Main"):
                main = table
            elif association.get("SubnetId"):
                explicit[association["SubnetId"]] = table
    tables_of = {subnet: explicit.get(subnet, main) for subnet in subnets}
    return {subnet: table for subnet, table in tables_of.items() if table}


def _route(route: Mapping[str, Any], endpoints: set[str]) -> Route:
    cidr, gateway = route.get("DestinationCidrBlock"), str(route.get("GatewayId") or "")
    nat, peering = str(route.get("NatGatewayId") or ""), str(route.get("VpcPeeringConnectionId") or "")
    network = IPv4Network(cidr) if cidr else None
    prefix_list = route.get("DestinationPrefixListId")
    if route.get("State") == "blackhole":
        return Route(kind="blackhole", target=gateway or nat, network=network, prefix_list=prefix_list)
    if gateway == "local":
        return Route(kind="local", target=gateway, network=network)
    if gateway in endpoints:
        return Route(kind="endpoint", target=gateway, prefix_list=prefix_list)
    if gateway.startswith("igw-"):
        return Route(kind="internet", target=gateway, network=network)
    if nat:
        return Route(kind="nat", target=nat, network=network)
    if peering:
        return Route(kind="peering", target=peering, network=network)
    return Route(kind="other", target=gateway or "?", network=network, prefix_list=prefix_list)
