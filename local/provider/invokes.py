"""The functions that programs call for a value (`aws.get_availability_zones` and its like)."""

import base64
import json
import zlib
from collections.abc import Callable
from typing import Any

from local.provider.ec2 import mapping
from local.provider.row import Call, Properties


def _availability_zones(call: Call) -> Properties:
    filters = [{"Name": item["name"], "Values": item["values"]} for item in call.inputs.get("filters", [])]
    if call.inputs.get("state"):
        filters.append({"Name": "state", "Values": [call.inputs["state"]]})
    zones = call.client("ec2").describe_availability_zones(Filters=filters)["AvailabilityZones"]
    zones = sorted(
        (zone for zone in zones if zone["ZoneName"] not in call.inputs.get("excludeNames", [])), key=lambda zone: str(zone["ZoneName"])
    )
    return {
        "id": call.region,
        "region": call.region,
        "names": [zone["ZoneName"] for zone in zones],
        "zoneIds": [zone["ZoneId"] for zone in zones],
        "groupNames": sorted({zone.get("GroupName") or call.region for zone in zones}),
        **call.inputs,
    }


def _caller_identity(call: Call) -> Properties:
    identity = call.client("sts").get_caller_identity()
    return {"id": identity["Account"], "accountId": identity["Account"], "arn": identity["Arn"], "userId": identity["UserId"]}


def _region(call: Call) -> Properties:
    region = str(call.inputs.get("region", call.inputs.get("name", call.region)))
    return {"id": region, "name": region, "region": region, "endpoint": f"ec2.{region}.amazonaws.com", "description": region}


def _partition(_: Call) -> Properties:
    return {"id": "aws", "partition": "aws", "dnsSuffix": "amazonaws.com", "reverseDnsPrefix": "com.amazonaws"}


def _authorization_token(call: Call) -> Properties:
    data = call.client("ecr").get_authorization_token()["authorizationData"][0]
    user, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
    return {
        "id": call.region,
        "region": call.region,
        "authorizationToken": data["authorizationToken"],
        "expiresAt": data["expiresAt"].isoformat(),
        "password": password,
        "proxyEndpoint": data["proxyEndpoint"],
        "userName": user,
    }


def _parameter(call: Call) -> Properties:
    name = str(call.inputs["name"])
    found = call.client("ssm").get_parameter(Name=name, WithDecryption=call.inputs.get("withDecryption", True))["Parameter"]
    value = found["Value"]
    return {
        "id": name,
        "name": name,
        "arn": call.arn("ssm", f"parameter{'' if name.startswith('/') else '/'}{name}"),
        "type": found["Type"],
        "value": value,
        "insecureValue": "" if found["Type"] == "SecureString" else value,
        "version": int(found["Version"]),
        "withDecryption": call.inputs.get("withDecryption", True),
    }


def _ami(call: Call) -> Properties:
    """moto has a fixed list of images; a pinned id in the stack config is the better way."""
    arguments: dict[str, Any] = {"Filters": [{"Name": item["name"], "Values": item["values"]} for item in call.inputs.get("filters", [])]}
    if call.inputs.get("owners"):
        arguments["Owners"] = call.inputs["owners"]
    images = sorted(call.client("ec2").describe_images(**arguments)["Images"], key=lambda image: str(image["CreationDate"]))
    if not images or (len(images) > 1 and not call.inputs.get("mostRecent")):
        raise ValueError(
            f"aws.ec2.get_ami: {len(images)} images match {call.inputs.get('filters', [])}; exactly one must. "
            "Set most_recent, or name the image by id in the stack config"
        )
    image = images[-1]
    return {
        "id": image["ImageId"],
        "imageId": image["ImageId"],
        "arn": call.arn("ec2", f"image/{image['ImageId']}", owned=False),
        "name": image.get("Name", ""),
        "architecture": image.get("Architecture", "x86_64"),
        "creationDate": image["CreationDate"],
        "ownerId": image.get("OwnerId", ""),
        "rootDeviceName": image.get("RootDeviceName", ""),
        "tags": mapping(image.get("Tags")),
    }


def _policy_document(call: Call) -> Properties:
    """Single values stay plain strings and the statement's keys come in IAM's order, as the real function writes them."""
    statements = []
    for item in call.inputs.get("statements", []):
        statement: dict[str, Any] = {"Sid": item["sid"]} if item.get("sid") else {}
        statement["Effect"] = item.get("effect", "Allow")
        for name, key in (("actions", "Action"), ("notActions", "NotAction"), ("resources", "Resource"), ("notResources", "NotResource")):
            if item.get(name):
                statement[key] = _one_or_many(item[name])
        for name, key in (("principals", "Principal"), ("notPrincipals", "NotPrincipal")):
            if item.get(name):
                statement[key] = _principals(item[name])
        conditions: dict[str, dict[str, Any]] = {}
        for condition in item.get("conditions", []):
            conditions.setdefault(condition["test"], {})[condition["variable"]] = _one_or_many(condition["values"])
        if conditions:
            statement["Condition"] = conditions
        statements.append(statement)
    document = {"Version": call.inputs.get("version", "2012-10-17"), "Statement": statements}
    text = json.dumps(document, indent=2)
    return {"id": str(zlib.crc32(text.encode())), "json": text, "minifiedJson": json.dumps(document, separators=(",", ":")), **call.inputs}


def _principals(principals: list[Properties]) -> Any:
    if any(item["type"] == "*" for item in principals):
        return "*"
    return {item["type"]: _one_or_many(item["identifiers"]) for item in principals}


def _one_or_many(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else sorted(values)


INVOKES: dict[str, Callable[[Call], Properties]] = {
    "aws:index/getAvailabilityZones:getAvailabilityZones": _availability_zones,
    "aws:index/getCallerIdentity:getCallerIdentity": _caller_identity,
    "aws:index/getRegion:getRegion": _region,
    "aws:index/getPartition:getPartition": _partition,
    "aws:ecr/getAuthorizationToken:getAuthorizationToken": _authorization_token,
    "aws:ssm/getParameter:getParameter": _parameter,
    "aws:ec2/getAmi:getAmi": _ami,
    "aws:iam/getPolicyDocument:getPolicyDocument": _policy_document,
}
