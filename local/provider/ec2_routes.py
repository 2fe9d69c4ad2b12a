"""Rows of routing: route tables, their routes and associations, VPC endpoints and flow logs."""

from typing import Any

from local.provider.ec2 import ec2_row, tag_specification
from local.provider.row import Call, Found, Properties, Row

TARGETS = (
    "gatewayId",
    "natGatewayId",
    "networkInterfaceId",
    "transitGatewayId",
    "vpcEndpointId",
    "vpcPeeringConnectionId",
    "egressOnlyGatewayId",
)
DESTINATIONS = ("destinationCidrBlock", "destinationIpv6CidrBlock", "destinationPrefixListId")


def _boto_target(inputs: Properties) -> dict[str, Any]:
    names = {"egressOnlyGatewayId": "EgressOnlyInternetGatewayId"}
    return {names.get(name, name[0].upper() + name[1:]): inputs[name] for name in TARGETS if inputs.get(name)}


def _create_table(call: Call) -> str:
    made = call.client("ec2").create_route_table(**call.given("vpcId"), TagSpecifications=tag_specification(call, "route-table"))
    table_id: str = made["RouteTable"]["RouteTableId"]
    _set_inline_routes(call, table_id, [], call.inputs.get("routes", []))
    return table_id


def _set_inline_routes(call: Call, table_id: str, old: list[Properties], new: list[Properties]) -> None:
    ec2 = call.client("ec2")
    for route in old:
        if route not in new:
            ec2.delete_route(RouteTableId=table_id, **_inline_destination(route))
    for route in new:
        if route not in old:
            ec2.create_route(RouteTableId=table_id, **_inline_destination(route), **_boto_target(route))


def _inline_destination(route: Properties) -> dict[str, Any]:
    names = {"cidrBlock": "DestinationCidrBlock", "ipv6CidrBlock": "DestinationIpv6CidrBlock"}
    return {boto: route[name] for name, boto in names.items() if route.get(name)}


def _update_table(call: Call) -> None:
    if "routes" in call.changed:
        _set_inline_routes(call, call.id, call.old.get("routes", []), call.inputs.get("routes", []))


def _delete_table(call: Call) -> None:
    ec2 = call.client("ec2")
    table = ec2.describe_route_tables(RouteTableIds=[call.id])["RouteTables"][0]
    for association in table["Associations"]:
        if not association.get("Main"):
            ec2.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
    ec2.delete_route_table(RouteTableId=call.id)


def _route_id(inputs: Properties) -> str:
    destination = next(str(inputs[name]) for name in DESTINATIONS if inputs.get(name))
    return f"r-{inputs['routeTableId']}{destination}"


def _live_route(call: Call) -> dict[str, Any] | None:
    """The route with the resource's destination in its table."""
    destinations = set(call.given(*DESTINATIONS).items())
    tables = call.client("ec2").describe_route_tables(RouteTableIds=[call.inputs["routeTableId"]])["RouteTables"]
    return next((route for table in tables for route in table["Routes"] if destinations <= set(_plain(route).items())), None)


def _plain(route: dict[str, Any]) -> dict[str, str]:
    return {key: value for key, value in route.items() if isinstance(value, str)}


def _create_route(call: Call) -> str:
    call.client("ec2").create_route(**call.given("routeTableId", *DESTINATIONS), **_boto_target(call.inputs))
    return _route_id(call.inputs)


def _update_route(call: Call) -> None:
    call.client("ec2").replace_route(**call.given("routeTableId", *DESTINATIONS), **_boto_target(call.inputs))


def _find_route(call: Call) -> list[Found]:
    route = _live_route(call)
    same = route is not None and _boto_target(call.inputs).items() <= _plain(route).items()
    return [Found(_route_id(call.inputs), None)] if same else []


def _read_route(call: Call) -> Properties | None:
    route = _live_route(call)
    return None if route is None else {"origin": route.get("Origin", "CreateRoute"), "state": route.get("State", "active")}


def _delete_route(call: Call) -> None:
    call.client("ec2").delete_route(**call.given("routeTableId", *DESTINATIONS))


def _associations(call: Call) -> list[tuple[str, dict[str, Any]]]:
    """Every association of the VPC's tables with its table's id."""
    tables = call.client("ec2").describe_route_tables()["RouteTables"]
    return [(table["RouteTableId"], association) for table in tables for association in table["Associations"]]


def _create_association(call: Call) -> str:
    made = call.client("ec2").associate_route_table(**call.given("routeTableId", "subnetId", "gatewayId"))
    return str(made["AssociationId"])


def _find_association(call: Call) -> list[Found]:
    wanted, subnet = call.inputs["routeTableId"], call.inputs.get("subnetId")
    return [
        Found(association["RouteTableAssociationId"], None)
        for table, association in _associations(call)
        if subnet and table == wanted and association.get("SubnetId") == subnet
    ]


def _read_association(call: Call) -> Properties | None:
    for table, association in _associations(call):
        if association["RouteTableAssociationId"] == call.id:
            return {"routeTableId": table}
    return None


def _create_endpoint(call: Call) -> str:
    made = call.client("ec2").create_vpc_endpoint(
        VpcEndpointType=call.inputs.get("vpcEndpointType", "Gateway"),
        **call.given("vpcId", "serviceName", "routeTableIds", "subnetIds", "securityGroupIds", "privateDnsEnabled"),
        **({"PolicyDocument": call.inputs["policy"]} if call.inputs.get("policy") else {}),
        TagSpecifications=tag_specification(call, "vpc-endpoint"),
    )
    _guard_interfaces(call, made["VpcEndpoint"])
    return str(made["VpcEndpoint"]["VpcEndpointId"])


def _guard_interfaces(call: Call, endpoint: dict[str, Any]) -> None:
    """moto leaves the interfaces of an endpoint in no security group."""
    if call.inputs.get("securityGroupIds"):
        for interface in endpoint.get("NetworkInterfaceIds", []):
            call.client("ec2").modify_network_interface_attribute(NetworkInterfaceId=interface, Groups=call.inputs["securityGroupIds"])


def _update_endpoint(call: Call) -> None:
    arguments: dict[str, Any] = {}
    for name, boto in (("routeTableIds", "RouteTableIds"), ("subnetIds", "SubnetIds"), ("securityGroupIds", "SecurityGroupIds")):
        if name in call.changed:
            old, new = set(call.old.get(name, [])), set(call.inputs.get(name, []))
            arguments |= {f"Add{boto}": sorted(new - old), f"Remove{boto}": sorted(old - new)}
    if "policy" in call.changed:
        arguments["PolicyDocument"] = call.inputs.get("policy", "")
    if "privateDnsEnabled" in call.changed:
        arguments["PrivateDnsEnabled"] = call.inputs.get("privateDnsEnabled", False)
    if arguments:
        call.client("ec2").modify_vpc_endpoint(VpcEndpointId=call.id, **{key: value for key, value in arguments.items() if value != []})
    if "securityGroupIds" in call.changed:
        _guard_interfaces(call, call.client("ec2").describe_vpc_endpoints(VpcEndpointIds=[call.id])["VpcEndpoints"][0])


def _delete_endpoint(call: Call) -> None:
    """moto fails on a gateway endpoint with a table that came later, so tables and routes are taken from it first."""
    ec2 = call.client("ec2")
    endpoint = ec2.describe_vpc_endpoints(VpcEndpointIds=[call.id])["VpcEndpoints"][0]
    if endpoint.get("RouteTableIds"):
        ec2.modify_vpc_endpoint(VpcEndpointId=call.id, RemoveRouteTableIds=endpoint["RouteTableIds"])
        for table in ec2.describe_route_tables(RouteTableIds=endpoint["RouteTableIds"])["RouteTables"]:
            for route in table["Routes"]:
                if route.get("GatewayId") == call.id:
                    ec2.delete_route(RouteTableId=table["RouteTableId"], DestinationPrefixListId=route["DestinationPrefixListId"])
    ec2.delete_vpc_endpoints(VpcEndpointIds=[call.id])


def _prefix_list(call: Call, endpoint: dict[str, Any]) -> str:
    """The addresses of a gateway endpoint's service, which security groups name by this id."""
    if endpoint.get("VpcEndpointType", "Gateway") != "Gateway":
        return ""
    named = {"Name": "prefix-list-name", "Values": [endpoint["ServiceName"]]}
    lists = call.client("ec2").describe_managed_prefix_lists(Filters=[named])["PrefixLists"]
    return str(lists[0]["PrefixListId"]) if lists else ""


def _endpoint_outputs(call: Call, endpoint: dict[str, Any]) -> Properties | None:
    if endpoint["State"].lower() in ("deleted", "deleting"):
        return None
    return {
        "state": endpoint["State"].lower(),
        "vpcEndpointType": endpoint.get("VpcEndpointType", "Gateway"),
        "prefixListId": _prefix_list(call, endpoint),
        "networkInterfaceIds": endpoint.get("NetworkInterfaceIds", []),
        "dnsEntries": [
            {"dnsName": entry.get("DnsName", ""), "hostedZoneId": entry.get("HostedZoneId", "")} for entry in endpoint.get("DnsEntries", [])
        ],
    }


def _create_flow_log(call: Call) -> str:
    inputs = call.inputs
    kind = next(name for name in ("vpcId", "subnetId", "eniId") if inputs.get(name))
    made = call.client("ec2").create_flow_logs(
        ResourceIds=[inputs[kind]],
        ResourceType={"vpcId": "VPC", "subnetId": "Subnet", "eniId": "NetworkInterface"}[kind],
        **call.given("trafficType", "logDestination", "logDestinationType", "logFormat", "maxAggregationInterval"),
        **({"DeliverLogsPermissionArn": inputs["iamRoleArn"]} if inputs.get("iamRoleArn") else {}),
        TagSpecifications=tag_specification(call, "vpc-flow-log"),
    )
    if made.get("Unsuccessful"):
        reason = made["Unsuccessful"][0]["Error"]["Message"]
        raise ValueError(f"flow log {call.name} of {inputs[kind]} was refused: {reason}")
    return str(made["FlowLogIds"][0])


def _flow_log_outputs(_: Call, log: dict[str, Any]) -> Properties:
    return {"logGroupName": log.get("LogGroupName", ""), "logDestinationType": log.get("LogDestinationType", "cloud-watch-logs")}


ROWS = (
    ec2_row(
        "aws:ec2/routeTable:RouteTable",
        "route-table",
        create=_create_table,
        describe=("describe_route_tables", "RouteTableIds", "RouteTables"),
        outputs=lambda call, table: {"vpcId": table["VpcId"], "routes": call.inputs.get("routes", [])},
        update=_update_table,
        delete=_delete_table,
        replace={"vpcId", "region"},
    ),
    Row(
        token="aws:ec2/route:Route",
        create=_create_route,
        read=_read_route,
        update=_update_route,
        delete=_delete_route,
        find=_find_route,
        replace=frozenset({"routeTableId", *DESTINATIONS, "region"}),
    ),
    Row(
        token="aws:ec2/routeTableAssociation:RouteTableAssociation",
        create=_create_association,
        read=_read_association,
        delete=lambda call: call.client("ec2").disassociate_route_table(AssociationId=call.id),
        find=_find_association,
        delete_before_replace=True,  # the real provider moves an association to another table; moto would hand out the old one
    ),
    ec2_row(
        "aws:ec2/vpcEndpoint:VpcEndpoint",
        "vpc-endpoint",
        create=_create_endpoint,
        describe=("describe_vpc_endpoints", "VpcEndpointIds", "VpcEndpoints"),
        outputs=_endpoint_outputs,
        update=_update_endpoint,
        delete=_delete_endpoint,
        replace={"vpcId", "serviceName", "region"},
    ),
    ec2_row(
        "aws:ec2/flowLog:FlowLog",
        "vpc-flow-log",
        create=_create_flow_log,
        describe=("describe_flow_logs", "FlowLogIds", "FlowLogs"),
        outputs=_flow_log_outputs,
        delete=lambda call: call.client("ec2").delete_flow_logs(FlowLogIds=[call.id]),
        replace={
            "vpcId",
            "subnetId",
            "eniId",
            "trafficType",
            "logDestination",
            "logDestinationType",
            "logFormat",
            "maxAggregationInterval",
            "iamRoleArn",
            "region",
        },
    ),
)
