"""Rows of the network: VPC, subnets, gateways, addresses, endpoints and peering."""

import time
from typing import Any

from local.provider.ec2 import ec2_row, tag_specification
from local.provider.row import Call, Found, Properties, Row


def _create_vpc(call: Call) -> str:
    ec2 = call.client("ec2")
    vpc_id: str = ec2.create_vpc(**call.given("cidrBlock", "instanceTenancy"), TagSpecifications=tag_specification(call, "vpc"))["Vpc"][
        "VpcId"
    ]
    _set_vpc_attributes(call, vpc_id, frozenset(call.inputs))
    return vpc_id


def _set_vpc_attributes(call: Call, vpc_id: str, changed: frozenset[str]) -> None:
    for name, default in (("enableDnsSupport", True), ("enableDnsHostnames", False)):
        if name in changed:
            value = {"Value": bool(call.inputs.get(name, default))}
            call.client("ec2").modify_vpc_attribute(VpcId=vpc_id, **{name[:1].upper() + name[1:]: value})


def _vpc_outputs(call: Call, vpc: dict[str, Any]) -> Properties:
    """The three things that EC2 makes with a VPC are asked for with it, as their ids are outputs."""
    ec2, of_vpc = call.client("ec2"), {"Name": "vpc-id", "Values": [call.id]}
    acls = ec2.describe_network_acls(Filters=[of_vpc, {"Name": "default", "Values": ["true"]}])["NetworkAcls"]
    tables = ec2.describe_route_tables(Filters=[of_vpc, {"Name": "association.main", "Values": ["true"]}])["RouteTables"]
    groups = ec2.describe_security_groups(Filters=[of_vpc, {"Name": "group-name", "Values": ["default"]}])["SecurityGroups"]
    main = tables[0]["RouteTableId"] if tables else ""
    return {
        "cidrBlock": vpc["CidrBlock"],
        "instanceTenancy": vpc.get("InstanceTenancy", "default"),
        "enableDnsSupport": call.inputs.get("enableDnsSupport", True),
        "enableDnsHostnames": call.inputs.get("enableDnsHostnames", False),
        "defaultNetworkAclId": acls[0]["NetworkAclId"] if acls else "",
        "defaultRouteTableId": main,
        "mainRouteTableId": main,
        "defaultSecurityGroupId": groups[0]["GroupId"] if groups else "",
        "dhcpOptionsId": vpc.get("DhcpOptionsId", "default"),
    }


def _create_subnet(call: Call) -> str:
    subnet_id: str = call.client("ec2").create_subnet(
        **call.given("vpcId", "cidrBlock", "availabilityZone", "availabilityZoneId"),
        TagSpecifications=tag_specification(call, "subnet"),
    )["Subnet"]["SubnetId"]
    _set_subnet_attributes(call, subnet_id, frozenset(call.inputs))
    return subnet_id


def _set_subnet_attributes(call: Call, subnet_id: str, changed: frozenset[str]) -> None:
    if "mapPublicIpOnLaunch" in changed:
        value = {"Value": bool(call.inputs.get("mapPublicIpOnLaunch", False))}
        call.client("ec2").modify_subnet_attribute(SubnetId=subnet_id, MapPublicIpOnLaunch=value)


def _subnet_outputs(_: Call, subnet: dict[str, Any]) -> Properties:
    return {
        "vpcId": subnet["VpcId"],
        "cidrBlock": subnet["CidrBlock"],
        "availabilityZone": subnet["AvailabilityZone"],
        "availabilityZoneId": subnet.get("AvailabilityZoneId", ""),
        "mapPublicIpOnLaunch": subnet.get("MapPublicIpOnLaunch", False),
        "assignIpv6AddressOnCreation": subnet.get("AssignIpv6AddressOnCreation", False),
    }


def _create_internet_gateway(call: Call) -> str:
    ec2 = call.client("ec2")
    made = ec2.create_internet_gateway(TagSpecifications=tag_specification(call, "internet-gateway"))
    gateway_id: str = made["InternetGateway"]["InternetGatewayId"]
    if call.inputs.get("vpcId"):
        ec2.attach_internet_gateway(InternetGatewayId=gateway_id, VpcId=call.inputs["vpcId"])
    return gateway_id


def _update_internet_gateway(call: Call) -> None:
    if "vpcId" not in call.changed:
        return
    ec2 = call.client("ec2")
    _detach_internet_gateway(call)
    if call.inputs.get("vpcId"):
        ec2.attach_internet_gateway(InternetGatewayId=call.id, VpcId=call.inputs["vpcId"])


def _detach_internet_gateway(call: Call) -> None:
    ec2 = call.client("ec2")
    gateway = ec2.describe_internet_gateways(InternetGatewayIds=[call.id])["InternetGateways"][0]
    for attachment in gateway["Attachments"]:
        ec2.detach_internet_gateway(InternetGatewayId=call.id, VpcId=attachment["VpcId"])


def _delete_internet_gateway(call: Call) -> None:
    _detach_internet_gateway(call)
    call.client("ec2").delete_internet_gateway(InternetGatewayId=call.id)


def _internet_gateway_outputs(_: Call, gateway: dict[str, Any]) -> Properties:
    attachments = gateway["Attachments"]
    return {"vpcId": attachments[0]["VpcId"]} if attachments else {}


def _create_eip(call: Call) -> str:
    """The address is the one asked for, if any: locally it has to lie in the stack's own range."""
    ec2 = call.client("ec2")
    made = ec2.allocate_address(Domain="vpc", **call.given("address"), TagSpecifications=tag_specification(call, "elastic-ip"))
    allocation_id: str = made["AllocationId"]
    _associate_eip(call, allocation_id)
    return allocation_id


def _associate_eip(call: Call, allocation_id: str) -> None:
    target = {
        **({"InstanceId": call.inputs["instance"]} if call.inputs.get("instance") else {}),
        **({"NetworkInterfaceId": call.inputs["networkInterface"]} if call.inputs.get("networkInterface") else {}),
    }
    if target:
        call.client("ec2").associate_address(AllocationId=allocation_id, AllowReassociation=True, **target)


def _update_eip(call: Call) -> None:
    if call.changed & {"instance", "networkInterface"}:
        _disassociate_eip(call)
        _associate_eip(call, call.id)


def _disassociate_eip(call: Call) -> None:
    address = call.client("ec2").describe_addresses(AllocationIds=[call.id])["Addresses"][0]
    if address.get("AssociationId"):
        call.client("ec2").disassociate_address(AssociationId=address["AssociationId"])


def _delete_eip(call: Call) -> None:
    """A machine may have taken the address for itself; the address goes nevertheless, as with the real provider."""
    _disassociate_eip(call)
    call.client("ec2").release_address(AllocationId=call.id)


def _eip_outputs(call: Call, address: dict[str, Any]) -> Properties:
    public = address["PublicIp"]
    zone = "compute-1" if call.region == "us-east-1" else f"{call.region}.compute"
    return {
        "allocationId": call.id,
        "publicIp": public,
        "publicDns": f"ec2-{public.replace('.', '-')}.{zone}.amazonaws.com",
        "domain": "vpc",
        "associationId": address.get("AssociationId", ""),
        "privateIp": address.get("PrivateIpAddress", ""),
        "publicIpv4Pool": "amazon",
        "networkBorderGroup": call.region,
    }


def _create_nat_gateway(call: Call) -> str:
    made = call.client("ec2").create_nat_gateway(
        **call.given("subnetId", "allocationId", "connectivityType"), TagSpecifications=tag_specification(call, "natgateway")
    )
    return str(made["NatGateway"]["NatGatewayId"])


def _nat_gateway_outputs(_: Call, gateway: dict[str, Any]) -> Properties | None:
    if gateway["State"] in ("deleted", "deleting"):
        return None
    address = (gateway.get("NatGatewayAddresses") or [{}])[0]
    return {
        "subnetId": gateway["SubnetId"],
        "connectivityType": gateway.get("ConnectivityType", "public"),
        "networkInterfaceId": address.get("NetworkInterfaceId", ""),
        "privateIp": address.get("PrivateIp", ""),
        "publicIp": address.get("PublicIp", ""),
    }


def _create_peering(call: Call) -> str:
    ec2 = call.client("ec2")
    made = ec2.create_vpc_peering_connection(
        **call.given("vpcId", "peerVpcId", "peerOwnerId", "peerRegion"),
        TagSpecifications=tag_specification(call, "vpc-peering-connection"),
    )
    peering_id: str = made["VpcPeeringConnection"]["VpcPeeringConnectionId"]
    if call.inputs.get("autoAccept"):
        ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=peering_id)
    return peering_id


def _accepter_outputs(call: Call, peering: dict[str, Any]) -> Properties | None:
    """From the accepter's side: its own VPC is the connection's other end."""
    status = _peering_outputs(call, peering)
    if status is None:
        return None
    requester, accepter = peering["RequesterVpcInfo"], peering["AccepterVpcInfo"]
    peer = {"peerVpcId": requester["VpcId"], "peerRegion": requester.get("Region", ""), "peerOwnerId": requester.get("OwnerId", "")}
    return {**status, **peer, "vpcId": accepter["VpcId"]}


def _peering_outputs(_: Call, peering: dict[str, Any]) -> Properties | None:
    status = peering["Status"]["Code"]
    return None if status in ("deleted", "rejected", "failed", "expired") else {"acceptStatus": status}


def _accept_peering(call: Call) -> str:
    """The connection of the other side takes a moment to show in this region. One that is active was accepted by a killed run."""
    ec2, peering_id = call.client("ec2"), str(call.inputs["vpcPeeringConnectionId"])
    deadline = time.monotonic() + 10
    while not (found := ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=[peering_id])["VpcPeeringConnections"]):
        if time.monotonic() > deadline:
            raise ValueError(
                f"vpcPeeringConnectionId {peering_id}: no such peering connection in {call.region}; set peerRegion on its requester"
            )
        time.sleep(0.1)
    if call.inputs.get("autoAccept") and found[0]["Status"]["Code"] != "active":
        ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=peering_id)
    if call.inputs.get("tags"):
        ec2.create_tags(Resources=[peering_id], Tags=[{"Key": key, "Value": value} for key, value in call.inputs["tags"].items()])
    return peering_id


def _keep(_: Call) -> None:
    """Removing an accepter leaves the connection to its requester, as the real provider does."""


def _create_reservation(call: Call) -> str:
    made = call.client("ec2").create_subnet_cidr_reservation(
        Cidr=call.inputs["cidrBlock"], **call.given("subnetId", "reservationType", "description")
    )
    return str(made["SubnetCidrReservation"]["SubnetCidrReservationId"])


def _reservations(call: Call) -> list[dict[str, Any]]:
    found = call.client("ec2").get_subnet_cidr_reservations(SubnetId=call.inputs["subnetId"])
    return list(found["SubnetIpv4CidrReservations"])


def _read_reservation(call: Call) -> Properties | None:
    there = any(item["SubnetCidrReservationId"] == call.id for item in _reservations(call))
    return {"ownerId": call.account} if there else None


def _find_reservation(call: Call) -> list[Found]:
    alike = (call.inputs["cidrBlock"], call.inputs["reservationType"])
    return [
        Found(item["SubnetCidrReservationId"], None) for item in _reservations(call) if (item["Cidr"], item["ReservationType"]) == alike
    ]


ROWS = (
    Row(
        token="aws:ec2/subnetCidrReservation:SubnetCidrReservation",
        create=_create_reservation,
        read=_read_reservation,
        delete=lambda call: call.client("ec2").delete_subnet_cidr_reservation(SubnetCidrReservationId=call.id),
        find=_find_reservation,
    ),
    ec2_row(
        "aws:ec2/vpc:Vpc",
        "vpc",
        create=_create_vpc,
        describe=("describe_vpcs", "VpcIds", "Vpcs"),
        outputs=_vpc_outputs,
        update=lambda call: _set_vpc_attributes(call, call.id, call.changed),
        delete=lambda call: call.client("ec2").delete_vpc(VpcId=call.id),
        replace={"cidrBlock", "ipv4IpamPoolId", "ipv4NetmaskLength", "region"},
    ),
    ec2_row(
        "aws:ec2/subnet:Subnet",
        "subnet",
        create=_create_subnet,
        describe=("describe_subnets", "SubnetIds", "Subnets"),
        outputs=_subnet_outputs,
        update=lambda call: _set_subnet_attributes(call, call.id, call.changed),
        delete=lambda call: call.client("ec2").delete_subnet(SubnetId=call.id),
        replace={"vpcId", "cidrBlock", "availabilityZone", "availabilityZoneId", "region"},
    ),
    ec2_row(
        "aws:ec2/internetGateway:InternetGateway",
        "internet-gateway",
        create=_create_internet_gateway,
        describe=("describe_internet_gateways", "InternetGatewayIds", "InternetGateways"),
        outputs=_internet_gateway_outputs,
        update=_update_internet_gateway,
        delete=_delete_internet_gateway,
        replace={"region"},
    ),
    ec2_row(
        "aws:ec2/eip:Eip",
        "elastic-ip",
        create=_create_eip,
        describe=("describe_addresses", "AllocationIds", "Addresses"),
        outputs=_eip_outputs,
        update=_update_eip,
        delete=_delete_eip,
        replace={"address", "domain", "publicIpv4Pool", "networkBorderGroup", "region"},
        volatile={"associationId": frozenset({"instance", "networkInterface"}), "privateIp": frozenset({"instance", "networkInterface"})},
    ),
    ec2_row(
        "aws:ec2/natGateway:NatGateway",
        "natgateway",
        create=_create_nat_gateway,
        describe=("describe_nat_gateways", "NatGatewayIds", "NatGateways"),
        outputs=_nat_gateway_outputs,
        delete=lambda call: call.client("ec2").delete_nat_gateway(NatGatewayId=call.id),
        replace={"subnetId", "allocationId", "connectivityType", "privateIp", "region"},
    ),
    ec2_row(
        "aws:ec2/vpcPeeringConnection:VpcPeeringConnection",
        "vpc-peering-connection",
        create=_create_peering,
        describe=("describe_vpc_peering_connections", "VpcPeeringConnectionIds", "VpcPeeringConnections"),
        outputs=_peering_outputs,
        delete=lambda call: call.client("ec2").delete_vpc_peering_connection(VpcPeeringConnectionId=call.id),
        replace={"vpcId", "peerVpcId", "peerOwnerId", "peerRegion", "region"},
    ),
    ec2_row(
        "aws:ec2/vpcPeeringConnectionAccepter:VpcPeeringConnectionAccepter",
        "vpc-peering-connection",
        create=_accept_peering,
        describe=("describe_vpc_peering_connections", "VpcPeeringConnectionIds", "VpcPeeringConnections"),
        outputs=_accepter_outputs,
        delete=_keep,
        replace={"vpcPeeringConnectionId", "region"},
    ),
)
