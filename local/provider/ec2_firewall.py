"""Rows of the firewall: security groups, their rules, and network ACLs."""

from typing import Any

from local.provider.ec2 import ec2_row, mapping, tag_specification, update_tags
from local.provider.row import URN_TAG, Call, Found, Properties, Row

PROTOCOL_NUMBERS = {"all": "-1", "icmp": "1", "tcp": "6", "udp": "17"}


def _create_group(call: Call) -> str:
    """A new group lets everything out; the real provider takes that rule away, so that only declared rules are left."""
    ec2 = call.client("ec2")
    description = call.inputs.get("description", "Managed by Pulumi")
    group_id: str = ec2.create_security_group(
        GroupName=call.inputs["name"],
        Description=description,
        **call.given("vpcId"),
        TagSpecifications=tag_specification(call, "security-group"),
    )["GroupId"]
    _set_rules(call, group_id, "egress", [_EVERYTHING], call.inputs.get("egress", []))
    _set_rules(call, group_id, "ingress", [], call.inputs.get("ingress", []))
    return group_id


_EVERYTHING = {"protocol": "-1", "fromPort": 0, "toPort": 0, "cidrBlocks": ["0.0.0.0/0"]}


def _update_group(call: Call) -> None:
    for direction in ("ingress", "egress"):
        if direction in call.changed:
            _set_rules(call, call.id, direction, call.old.get(direction, []), call.inputs.get(direction, []))


def _set_rules(call: Call, group_id: str, direction: str, old: list[Properties], new: list[Properties]) -> None:
    ec2 = call.client("ec2")
    removed = [_permission(rule, group_id) for rule in old if rule not in new]
    added = [_permission(rule, group_id) for rule in new if rule not in old]
    if removed:
        getattr(ec2, f"revoke_security_group_{direction}")(GroupId=group_id, IpPermissions=removed)
    if added:
        getattr(ec2, f"authorize_security_group_{direction}")(GroupId=group_id, IpPermissions=added)


def _permission(rule: Properties, group_id: str) -> dict[str, Any]:
    """An inline rule of a group as an IP permission."""
    described = {"Description": rule["description"]} if rule.get("description") else {}
    groups = [*rule.get("securityGroups", []), *([group_id] if rule.get("self") else [])]
    permission: dict[str, Any] = {
        "IpProtocol": rule["protocol"],
        "IpRanges": [{"CidrIp": cidr, **described} for cidr in rule.get("cidrBlocks", [])],
        "Ipv6Ranges": [{"CidrIpv6": cidr, **described} for cidr in rule.get("ipv6CidrBlocks", [])],
        "PrefixListIds": [{"PrefixListId": name, **described} for name in rule.get("prefixListIds", [])],
        "UserIdGroupPairs": [{"GroupId": group, **described} for group in groups],
    }
    if rule["protocol"] != "-1":
        permission |= {"FromPort": int(rule["fromPort"]), "ToPort": int(rule["toPort"])}
    return permission


def _delete_group(call: Call) -> None:
    """moto deletes a group in use without a word; EC2 answers DependencyViolation."""
    ec2 = call.client("ec2")
    interfaces = ec2.describe_network_interfaces(Filters=[{"Name": "group-id", "Values": [call.id]}])["NetworkInterfaces"]
    machines = ec2.describe_instances(
        Filters=[
            {"Name": "instance.group-id", "Values": [call.id]},
            {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
        ]
    )["Reservations"]
    users = [item["NetworkInterfaceId"] for item in interfaces if _is_live(ec2, item)]
    users += [machine["InstanceId"] for reservation in machines for machine in reservation["Instances"]]
    rules = ec2.describe_security_group_rules()["SecurityGroupRules"]
    users += [
        rule["SecurityGroupRuleId"]
        for rule in rules
        if rule.get("ReferencedGroupInfo", {}).get("GroupId") == call.id and rule["GroupId"] != call.id
    ]
    if users:
        raise ValueError(
            f"DependencyViolation: security group {call.id} ({call.name}) is still used by {', '.join(sorted(set(users))[:8])}; "
            "EC2 deletes a group only when no interface and no other group's rule names it. "
            "Let what uses it be replaced or deleted first (a new group before the old one goes)"
        )
    ec2.delete_security_group(GroupId=call.id)


def _is_live(ec2: Any, interface: dict[str, Any]) -> bool:
    """moto keeps the interfaces of terminated instances."""
    instance_id = interface.get("Attachment", {}).get("InstanceId")
    if not instance_id:
        return True
    states = [
        machine["State"]["Name"]
        for reservation in ec2.describe_instances(Filters=[{"Name": "instance-id", "Values": [instance_id]}])["Reservations"]
        for machine in reservation["Instances"]
    ]
    return any(state != "terminated" for state in states)


def _group_outputs(call: Call, group: dict[str, Any]) -> Properties:
    return {
        "name": group["GroupName"],
        "description": group["Description"],
        "vpcId": group.get("VpcId", ""),
        "ingress": call.inputs.get("ingress", []),
        "egress": call.inputs.get("egress", []),
    }


_PEERS = ("cidrIpv4", "cidrIpv6", "prefixListId", "referencedSecurityGroupId")


def _rule_permission(call: Call) -> dict[str, Any]:
    """The rule's single peer and ports as an IP permission; -1 as protocol means all ports."""
    inputs = call.inputs
    peers = [name for name in _PEERS if inputs.get(name)]
    if len(peers) != 1:  # moto makes a rule for nobody of one without a peer
        raise ValueError(f"{call.name}: a rule has exactly one of {', '.join(_PEERS)}; this has {' and '.join(peers) or 'none'}")
    described = {"Description": inputs["description"]} if inputs.get("description") else {}
    permission: dict[str, Any] = {"IpProtocol": str(inputs["ipProtocol"])}
    if permission["IpProtocol"] != "-1":
        permission |= {"FromPort": int(inputs["fromPort"]), "ToPort": int(inputs["toPort"])}
    if inputs.get("cidrIpv4"):
        permission["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **described}]
    if inputs.get("cidrIpv6"):
        permission["Ipv6Ranges"] = [{"CidrIpv6": inputs["cidrIpv6"], **described}]
    if inputs.get("prefixListId"):
        permission["PrefixListIds"] = [{"PrefixListId": inputs["prefixListId"], **described}]
    if inputs.get("referencedSecurityGroupId"):
        permission["UserIdGroupPairs"] = [{"GroupId": inputs["referencedSecurityGroupId"], **described}]
    return permission


def _create_rule(call: Call, direction: str) -> str:
    made = getattr(call.client("ec2"), f"authorize_security_group_{direction}")(
        GroupId=call.inputs["securityGroupId"],
        IpPermissions=[_rule_permission(call)],
        TagSpecifications=tag_specification(call, "security-group-rule"),
    )
    return str(made["SecurityGroupRules"][0]["SecurityGroupRuleId"])


def _live_rule(call: Call) -> dict[str, Any] | None:
    rules = call.client("ec2").describe_security_group_rules(SecurityGroupRuleIds=[call.id])["SecurityGroupRules"]
    return next((rule for rule in rules if rule["SecurityGroupRuleId"] == call.id), None)


def _find_rules(call: Call) -> list[Found]:
    """A rule is found through its group, as EC2's list of tags lacks it in moto."""
    if not call.clients.stamped(call.region, URN_TAG):
        return []
    in_group = {"Name": "group-id", "Values": [call.inputs["securityGroupId"]]}
    rules = call.client("ec2").describe_security_group_rules(Filters=[in_group])["SecurityGroupRules"]
    return [Found(rule["SecurityGroupRuleId"], mapping(rule.get("Tags"))) for rule in rules]


def _read_rule(call: Call) -> Properties | None:
    rule = _live_rule(call)
    if rule is None:
        return None
    return {
        "arn": call.arn("ec2", f"security-group-rule/{call.id}"),
        "securityGroupRuleId": call.id,
        "securityGroupId": rule["GroupId"],
        "ipProtocol": str(rule["IpProtocol"]),
    }


def _delete_rule(call: Call, direction: str) -> None:
    rule = _live_rule(call)
    if rule is not None:
        revoke = getattr(call.client("ec2"), f"revoke_security_group_{direction}")
        revoke(GroupId=rule["GroupId"], SecurityGroupRuleIds=[call.id])


def _update_rule(call: Call) -> None:
    """EC2 modifies a rule under the same id; one that was adopted is whole, as it was made by one call."""
    update_tags(call)
    if not call.old or not call.changed - {"tags"}:
        return
    inputs = call.inputs
    rule: dict[str, Any] = {"IpProtocol": str(inputs["ipProtocol"]), "FromPort": -1, "ToPort": -1}
    rule |= call.given("fromPort", "toPort", "description", "cidrIpv4", "cidrIpv6", "prefixListId")
    if inputs.get("referencedSecurityGroupId"):
        rule["ReferencedGroupId"] = inputs["referencedSecurityGroupId"]
    call.client("ec2").modify_security_group_rules(
        GroupId=inputs["securityGroupId"], SecurityGroupRules=[{"SecurityGroupRuleId": call.id, "SecurityGroupRule": rule}]
    )


def _rule_row(direction: str) -> Row:
    noun = f"securityGroup{direction.capitalize()}Rule"
    return Row(
        token=f"aws:vpc/{noun}:{noun[0].upper()}{noun[1:]}",
        create=lambda call: _create_rule(call, direction),
        read=_read_rule,
        update=_update_rule,
        delete=lambda call: _delete_rule(call, direction),
        find=_find_rules,
        replace=frozenset({"securityGroupId", "region"}),
    )


def _create_acl(call: Call) -> str:
    ec2 = call.client("ec2")
    made = ec2.create_network_acl(**call.given("vpcId"), TagSpecifications=tag_specification(call, "network-acl"))
    acl_id: str = made["NetworkAcl"]["NetworkAclId"]
    _set_entries(call, acl_id, "ingress", [], call.inputs.get("ingress", []))
    _set_entries(call, acl_id, "egress", [], call.inputs.get("egress", []))
    _set_subnets(call, acl_id)
    return acl_id


def _set_entries(call: Call, acl_id: str, direction: str, old: list[Properties], new: list[Properties]) -> None:
    ec2 = call.client("ec2")
    for entry in old:
        if entry not in new:
            ec2.delete_network_acl_entry(NetworkAclId=acl_id, RuleNumber=int(entry["ruleNo"]), Egress=direction == "egress")
    for entry in new:
        if entry not in old:
            protocol = str(entry["protocol"])
            ec2.create_network_acl_entry(
                NetworkAclId=acl_id,
                RuleNumber=int(entry["ruleNo"]),
                Protocol=PROTOCOL_NUMBERS.get(protocol, protocol),
                RuleAction=entry["action"],
                Egress=direction == "egress",
                PortRange={"From": int(entry["fromPort"]), "To": int(entry["toPort"])},
                **({"CidrBlock": entry["cidrBlock"]} if entry.get("cidrBlock") else {}),
                **({"Ipv6CidrBlock": entry["ipv6CidrBlock"]} if entry.get("ipv6CidrBlock") else {}),
            )


def _set_subnets(call: Call, acl_id: str) -> None:
    """A subnet always has exactly one ACL: those no longer named go back to the VPC's default."""
    ec2, wanted = call.client("ec2"), set(call.inputs.get("subnetIds", []))
    acls = ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [call.inputs["vpcId"]]}])["NetworkAcls"]
    default = next(acl["NetworkAclId"] for acl in acls if acl["IsDefault"])
    for acl in acls:
        for association in acl["Associations"]:
            is_ours, is_wanted = acl["NetworkAclId"] == acl_id, association["SubnetId"] in wanted
            if is_ours != is_wanted:
                ec2.replace_network_acl_association(
                    AssociationId=association["NetworkAclAssociationId"], NetworkAclId=acl_id if is_wanted else default
                )


def _update_acl(call: Call) -> None:
    """An ACL that was adopted half made gets its entries anew."""
    ec2 = call.client("ec2")
    acl = ec2.describe_network_acls(NetworkAclIds=[call.id])["NetworkAcls"][0]
    for direction in ("ingress", "egress"):
        if direction in call.changed:
            numbers = {entry["RuleNumber"] for entry in acl["Entries"] if entry["Egress"] == (direction == "egress")}
            old = call.old.get(direction, [{"ruleNo": number} for number in numbers if number < 32767])
            _set_entries(call, call.id, direction, old, call.inputs.get(direction, []))
    if "subnetIds" in call.changed:
        _set_subnets(call, call.id)


def _delete_acl(call: Call) -> None:
    ec2 = call.client("ec2")
    acl = ec2.describe_network_acls(NetworkAclIds=[call.id])["NetworkAcls"][0]
    others = ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [acl["VpcId"]]}])["NetworkAcls"]
    default = next(other["NetworkAclId"] for other in others if other["IsDefault"])
    for association in acl["Associations"]:
        ec2.replace_network_acl_association(AssociationId=association["NetworkAclAssociationId"], NetworkAclId=default)
    ec2.delete_network_acl(NetworkAclId=call.id)


def _acl_outputs(call: Call, acl: dict[str, Any]) -> Properties:
    return {
        "vpcId": acl["VpcId"],
        "subnetIds": sorted(association["SubnetId"] for association in acl["Associations"]),
        "ingress": call.inputs.get("ingress", []),
        "egress": call.inputs.get("egress", []),
    }


ROWS = (
    ec2_row(
        "aws:ec2/securityGroup:SecurityGroup",
        "security-group",
        create=_create_group,
        describe=("describe_security_groups", "GroupIds", "SecurityGroups"),
        outputs=_group_outputs,
        update=_update_group,
        delete=_delete_group,
        replace={"name", "namePrefix", "description", "vpcId", "region"},
        autoname="name",
    ),
    _rule_row("ingress"),
    _rule_row("egress"),
    ec2_row(
        "aws:ec2/networkAcl:NetworkAcl",
        "network-acl",
        create=_create_acl,
        describe=("describe_network_acls", "NetworkAclIds", "NetworkAcls"),
        outputs=_acl_outputs,
        update=_update_acl,
        delete=_delete_acl,
        replace={"vpcId", "region"},
    ),
)
