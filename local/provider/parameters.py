"""Rows of what machines look up by name: SSM parameters, Secrets Manager secrets and KMS keys."""

from typing import Any

from local.provider.ec2 import mapping, pairs
from local.provider.row import Call, Failure, Found, Properties, Row

MAX_STANDARD_VALUE = 4096
"""Bytes of a Standard-tier parameter; moto takes more."""


def _check_parameter(inputs: Properties) -> list[Failure]:
    value = inputs.get("value", inputs.get("insecureValue"))
    if not isinstance(value, str) or inputs.get("tier", "Standard") != "Standard":
        return []
    size = len(value.encode())
    if size <= MAX_STANDARD_VALUE:
        return []
    return [
        Failure(
            "value",
            f"parameter {inputs.get('name', '')!r}: the value is {size} bytes; a Standard parameter holds at most {MAX_STANDARD_VALUE}. "
            "Use a shorter value (EC keys instead of RSA), tier Advanced, or a secret",
        )
    ]


def _put_parameter(call: Call, *, overwrite: bool) -> str:
    inputs, name = call.inputs, str(call.inputs["name"])
    call.client("ssm").put_parameter(
        Name=name,
        Value=inputs.get("value", inputs.get("insecureValue")),
        Type=inputs["type"],
        Overwrite=overwrite,
        **call.given("description", "keyId", "tier", "allowedPattern", "dataType"),
        **({} if overwrite else {"Tags": pairs(call.tags)}),
    )
    return name


def _update_parameter(call: Call) -> None:
    ssm = call.client("ssm")
    if call.changed - {"tags"}:
        _put_parameter(call, overwrite=True)
    if "tags" in call.changed:
        old, new = call.old.get("tags", {}), call.inputs.get("tags", {})
        removed = [key for key in old if key not in new]
        if removed:
            ssm.remove_tags_from_resource(ResourceType="Parameter", ResourceId=call.id, TagKeys=removed)
        if new:
            ssm.add_tags_to_resource(ResourceType="Parameter", ResourceId=call.id, Tags=pairs(new))


def _read_parameter(call: Call) -> Properties:
    parameter = call.client("ssm").get_parameter(Name=call.id, WithDecryption=True)["Parameter"]
    separator = "" if call.id.startswith("/") else "/"
    return {
        "arn": call.arn("ssm", f"parameter{separator}{call.id}"),
        "name": call.id,
        "value": parameter["Value"],
        "type": parameter["Type"],
        "version": int(parameter["Version"]),
        "tier": call.inputs.get("tier", "Standard"),
        "dataType": parameter.get("DataType", "text"),
    }


def _find_parameter(call: Call) -> list[Found]:
    ssm, name = call.client("ssm"), call.inputs["name"]
    ssm.get_parameter(Name=name)
    return [Found(name, mapping(ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=name)["TagList"]))]


def _create_secret(call: Call) -> str:
    arguments = call.given("description", "kmsKeyId")
    made = call.client("secretsmanager").create_secret(Name=call.inputs["name"], **arguments, Tags=pairs(call.tags))
    return str(made["ARN"])


def _update_secret(call: Call) -> None:
    secrets = call.client("secretsmanager")
    if call.changed & {"description", "kmsKeyId"}:
        secrets.update_secret(SecretId=call.id, **call.given("description", "kmsKeyId"))
    if "tags" in call.changed:
        old, new = call.old.get("tags", {}), call.inputs.get("tags", {})
        removed = [key for key in old if key not in new]
        if removed:
            secrets.untag_resource(SecretId=call.id, TagKeys=removed)
        secrets.tag_resource(SecretId=call.id, Tags=pairs(new))


def _read_secret(call: Call) -> Properties | None:
    secret = call.client("secretsmanager").describe_secret(SecretId=call.id)
    return None if secret.get("DeletedDate") else {"arn": secret["ARN"], "name": secret["Name"]}


def _find_secret(call: Call) -> list[Found]:
    secrets = call.client("secretsmanager")
    secret = secrets.describe_secret(SecretId=call.inputs["name"])
    return [Found(secret["ARN"], mapping(secret.get("Tags")))]


def _delete_secret(call: Call) -> None:
    """The recovery window would keep the name; locally nobody waits for it to end."""
    call.client("secretsmanager").delete_secret(SecretId=call.id, ForceDeleteWithoutRecovery=True)


def _put_secret_version(call: Call) -> str:
    inputs = call.inputs
    arguments: dict[str, Any] = call.given("secretString", "versionStages")
    if inputs.get("secretBinary"):
        arguments["SecretBinary"] = inputs["secretBinary"]
    made = call.client("secretsmanager").put_secret_value(SecretId=inputs["secretId"], **arguments)
    return f"{inputs['secretId']}|{made['VersionId']}"


def _read_secret_version(call: Call) -> Properties:
    secret_id, version = call.id.rsplit("|", 1)
    live = call.client("secretsmanager").get_secret_value(SecretId=secret_id, VersionId=version)
    return {
        "arn": live["ARN"],
        "secretArn": live["ARN"],
        "versionId": version,
        "versionStages": live.get("VersionStages", []),
        "secretString": live.get("SecretString", ""),
    }


def _keep(_: Call) -> None:
    """The version that is current goes with its secret, as with the real provider."""


def _create_key(call: Call) -> str:
    arguments = call.given("description", "policy", "multiRegion")
    made = call.client("kms").create_key(**arguments, Tags=[{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in pairs(call.tags)])
    key_id: str = made["KeyMetadata"]["KeyId"]
    if call.inputs.get("enableKeyRotation"):
        call.client("kms").enable_key_rotation(KeyId=key_id)
    return key_id


def _update_key(call: Call) -> None:
    kms = call.client("kms")
    if "description" in call.changed:
        kms.update_key_description(KeyId=call.id, Description=call.inputs.get("description", ""))
    if "policy" in call.changed and call.inputs.get("policy"):
        kms.put_key_policy(KeyId=call.id, PolicyName="default", Policy=call.inputs["policy"])
    if "enableKeyRotation" in call.changed:
        (kms.enable_key_rotation if call.inputs.get("enableKeyRotation") else kms.disable_key_rotation)(KeyId=call.id)
    if "tags" in call.changed:
        old, new = call.old.get("tags", {}), call.inputs.get("tags", {})
        kms.untag_resource(KeyId=call.id, TagKeys=[key for key in old if key not in new])
        kms.tag_resource(KeyId=call.id, Tags=[{"TagKey": key, "TagValue": value} for key, value in new.items()])


def _read_key(call: Call) -> Properties | None:
    key = call.client("kms").describe_key(KeyId=call.id)["KeyMetadata"]
    return (
        None
        if key["KeyState"] == "PendingDeletion"
        else {"arn": key["Arn"], "keyId": call.id, "keyUsage": key.get("KeyUsage", "ENCRYPT_DECRYPT")}
    )


def _delete_key(call: Call) -> None:
    call.client("kms").schedule_key_deletion(KeyId=call.id, PendingWindowInDays=int(call.inputs.get("deletionWindowInDays", 30)))


def _create_alias(call: Call) -> str:
    name = str(call.inputs["name"])
    call.client("kms").create_alias(AliasName=name, TargetKeyId=call.inputs["targetKeyId"])
    return name


def _live_alias(call: Call, name: str) -> dict[str, Any] | None:
    for page in call.client("kms").get_paginator("list_aliases").paginate():
        for alias in page["Aliases"]:
            if alias["AliasName"] == name:
                return dict(alias)
    return None


def _find_alias(call: Call) -> list[Found]:
    name, target = call.inputs["name"], str(call.inputs["targetKeyId"])
    alias = _live_alias(call, name)
    return [Found(name, None)] if alias is not None and target.endswith(str(alias.get("TargetKeyId"))) else []


def _read_alias(call: Call) -> Properties | None:
    alias = _live_alias(call, call.id)
    return (
        None
        if alias is None
        else {
            "arn": alias["AliasArn"],
            "name": call.id,
            "targetKeyId": alias["TargetKeyId"],
            "targetKeyArn": call.arn("kms", f"key/{alias['TargetKeyId']}"),
        }
    )


ROWS = (
    Row(
        token="aws:ssm/parameter:Parameter",
        create=lambda call: _put_parameter(call, overwrite=bool(call.inputs.get("overwrite", False))),
        read=_read_parameter,
        update=_update_parameter,
        delete=lambda call: call.client("ssm").delete_parameter(Name=call.id),
        find=_find_parameter,
        check=_check_parameter,
        replace=frozenset({"name", "region"}),
        volatile={"version": frozenset({"value", "insecureValue", "type", "description", "tier"})},
        autoname="name",
    ),
    Row(
        token="aws:secretsmanager/secret:Secret",
        create=_create_secret,
        read=_read_secret,
        update=_update_secret,
        delete=_delete_secret,
        find=_find_secret,
        replace=frozenset({"name", "namePrefix", "region"}),
        autoname="name",
    ),
    Row(
        token="aws:secretsmanager/secretVersion:SecretVersion",
        create=_put_secret_version,
        read=_read_secret_version,
        delete=_keep,
    ),
    Row(
        token="aws:kms/key:Key",
        create=_create_key,
        read=_read_key,
        update=_update_key,
        delete=_delete_key,
        replace=frozenset({"customerMasterKeySpec", "keyUsage", "multiRegion", "region"}),
    ),
    Row(
        token="aws:kms/alias:Alias",
        create=_create_alias,
        read=_read_alias,
        update=lambda call: call.client("kms").update_alias(AliasName=call.id, TargetKeyId=call.inputs["targetKeyId"]),
        delete=lambda call: call.client("kms").delete_alias(AliasName=call.id),
        find=_find_alias,
        replace=frozenset({"name", "namePrefix", "region"}),
        autoname="name",
    ),
)
