"""Rows of Route 53: zones, public or private to VPCs, and their records."""

from typing import Any

from local.provider.ec2 import mapping, pairs
from local.provider.row import Call, Found, Properties, Row


def _create_zone(call: Call) -> str:
    """The caller reference is the URN's stamp: an orphan of a killed run is then found by it."""
    dns, inputs = call.client("route53"), call.inputs
    vpcs = inputs.get("vpcs", [])
    made = dns.create_hosted_zone(
        Name=inputs["name"],
        CallerReference=f"{call.stamp['mesh:urn']}#{call.stamp['mesh:inputs']}",
        HostedZoneConfig={"Comment": inputs.get("comment", "Managed by Pulumi"), "PrivateZone": bool(vpcs)},
        **({"VPC": _vpc(call, vpcs[0])} if vpcs else {}),
    )
    zone_id = str(made["HostedZone"]["Id"]).rsplit("/", 1)[-1]
    for vpc in vpcs[1:]:
        dns.associate_vpc_with_hosted_zone(HostedZoneId=zone_id, VPC=_vpc(call, vpc))
    dns.change_tags_for_resource(ResourceType="hostedzone", ResourceId=zone_id, AddTags=pairs(call.tags))
    return zone_id


def _vpc(call: Call, vpc: Properties) -> dict[str, str]:
    return {"VPCId": vpc["vpcId"], "VPCRegion": vpc.get("vpcRegion", call.region)}


def _update_zone(call: Call) -> None:
    dns = call.client("route53")
    if "comment" in call.changed:
        dns.update_hosted_zone_comment(Id=call.id, Comment=call.inputs.get("comment", ""))
    if "vpcs" in call.changed:
        live = {vpc["VPCId"] for vpc in dns.get_hosted_zone(Id=call.id).get("VPCs", [])}
        wanted = [_vpc(call, vpc) for vpc in call.inputs.get("vpcs", [])]
        for vpc in wanted:
            if vpc["VPCId"] not in live:
                dns.associate_vpc_with_hosted_zone(HostedZoneId=call.id, VPC=vpc)
        for old in call.old.get("vpcs", []):
            if old["vpcId"] not in {vpc["VPCId"] for vpc in wanted}:
                dns.disassociate_vpc_from_hosted_zone(HostedZoneId=call.id, VPC=_vpc(call, old))
    if "tags" in call.changed:
        old_tags, new = call.old.get("tags", {}), call.inputs.get("tags", {})
        removed = [key for key in old_tags if key not in new]
        dns.change_tags_for_resource(
            ResourceType="hostedzone",
            ResourceId=call.id,
            **({"AddTags": pairs(new)} if new else {}),
            **({"RemoveTagKeys": removed} if removed else {}),
        )


def _read_zone(call: Call) -> Properties:
    zone = call.client("route53").get_hosted_zone(Id=call.id)
    servers = zone.get("DelegationSet", {}).get("NameServers", [])
    return {
        "arn": f"arn:aws:route53:::hostedzone/{call.id}",
        "name": zone["HostedZone"]["Name"].rstrip("."),
        "zoneId": call.id,
        "nameServers": servers,
        "primaryNameServer": servers[0] if servers else "",
    }


def _find_zone(call: Call) -> list[Found]:
    dns = call.client("route53")
    found = []
    for zone in dns.list_hosted_zones()["HostedZones"]:
        if zone["Name"].rstrip(".") == call.inputs["name"].rstrip("."):
            zone_id = zone["Id"].rsplit("/", 1)[-1]
            tags = dns.list_tags_for_resource(ResourceType="hostedzone", ResourceId=zone_id)["ResourceTagSet"]["Tags"]
            found.append(Found(zone_id, mapping(tags)))
    return found


def _delete_zone(call: Call) -> None:
    """`forceDestroy` takes the records along; without it a zone that has any is refused."""
    dns = call.client("route53")
    if call.inputs.get("forceDestroy"):
        for record in dns.list_resource_record_sets(HostedZoneId=call.id)["ResourceRecordSets"]:
            if record["Type"] not in ("NS", "SOA"):
                _change(call, "DELETE", record, call.id)
    dns.delete_hosted_zone(Id=call.id)


def _change(call: Call, action: str, record: dict[str, Any], zone_id: str) -> None:
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
    call.client("route53").change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch=batch)


def _record_set(inputs: Properties) -> dict[str, Any]:
    record: dict[str, Any] = {"Name": inputs["name"], "Type": inputs["type"]}
    if inputs.get("ttl") is not None:
        record["TTL"] = int(inputs["ttl"])
    if inputs.get("records"):
        record["ResourceRecords"] = [{"Value": value} for value in inputs["records"]]
    if inputs.get("aliases"):
        alias = inputs["aliases"][0]
        record["AliasTarget"] = {
            "DNSName": alias["name"],
            "HostedZoneId": alias["zoneId"],
            "EvaluateTargetHealth": alias.get("evaluateTargetHealth", False),
        }
    if inputs.get("setIdentifier"):
        record["SetIdentifier"] = inputs["setIdentifier"]
    if inputs.get("multivalueAnswerRoutingPolicy") is not None:
        record["MultiValueAnswer"] = inputs["multivalueAnswerRoutingPolicy"]
    if inputs.get("weightedRoutingPolicies"):
        record["Weight"] = int(inputs["weightedRoutingPolicies"][0]["weight"])
    if inputs.get("latencyRoutingPolicies"):
        record["Region"] = inputs["latencyRoutingPolicies"][0]["region"]
    return record


def _zone_name(call: Call) -> str:
    return str(call.client("route53").get_hosted_zone(Id=call.inputs["zoneId"])["HostedZone"]["Name"]).rstrip(".")


def _full_name(call: Call) -> str:
    """A name without the zone's is one below it, as the real provider reads it."""
    name, zone = str(call.inputs["name"]).rstrip("."), _zone_name(call)
    return name if name == zone or name.endswith(f".{zone}") else f"{name}.{zone}" if name else zone


def _create_record(call: Call) -> str:
    name = _full_name(call)
    action = "UPSERT" if call.inputs.get("allowOverwrite") else "CREATE"
    _change(call, action, _record_set({**call.inputs, "name": name}), call.inputs["zoneId"])
    return _record_id(call, name)


def _record_id(call: Call, name: str) -> str:
    identifier = call.inputs.get("setIdentifier")
    return "_".join([call.inputs["zoneId"], name, call.inputs["type"], *([identifier] if identifier else [])])


def _live_record(call: Call, name: str) -> dict[str, Any] | None:
    for page in call.client("route53").get_paginator("list_resource_record_sets").paginate(HostedZoneId=call.inputs["zoneId"]):
        for record in page["ResourceRecordSets"]:
            same = record["Name"].rstrip(".") == name and record["Type"] == call.inputs["type"]
            if same and record.get("SetIdentifier") == call.inputs.get("setIdentifier"):
                return dict(record)
    return None


def _find_record(call: Call) -> list[Found]:
    name = _full_name(call)
    live = _live_record(call, name)
    values = {item["Value"] for item in (live or {}).get("ResourceRecords", [])}
    return [Found(_record_id(call, name), None)] if live is not None and values == set(call.inputs.get("records", [])) else []


def _update_record(call: Call) -> None:
    _change(call, "UPSERT", _record_set({**call.inputs, "name": _full_name(call)}), call.inputs["zoneId"])


def _read_record(call: Call) -> Properties | None:
    name = _full_name(call)
    return None if _live_record(call, name) is None else {"fqdn": name, "name": call.inputs["name"]}


def _delete_record(call: Call) -> None:
    live = _live_record(call, _full_name(call))
    if live is not None:
        _change(call, "DELETE", live, call.inputs["zoneId"])


ROWS = (
    Row(
        token="aws:route53/zone:Zone",
        create=_create_zone,
        read=_read_zone,
        update=_update_zone,
        delete=_delete_zone,
        find=_find_zone,
        replace=frozenset({"name", "delegationSetId"}),
    ),
    Row(
        token="aws:route53/record:Record",
        create=_create_record,
        read=_read_record,
        update=_update_record,
        delete=_delete_record,
        find=_find_record,
        replace=frozenset({"zoneId", "name", "type", "setIdentifier"}),
    ),
)
