"""Rows of logs and images in AWS: CloudWatch log groups, ECR repositories and their lifecycle policies."""

import json
from typing import Any

from local.provider.ec2 import mapping, pairs
from local.provider.row import Call, Found, Properties, Row


def _create_log_group(call: Call) -> str:
    logs, name = call.client("logs"), str(call.inputs["name"])
    logs.create_log_group(
        logGroupName=name, **({"kmsKeyId": call.inputs["kmsKeyId"]} if call.inputs.get("kmsKeyId") else {}), tags=call.tags
    )
    _set_retention(call, name)
    return name


def _set_retention(call: Call, name: str) -> None:
    """0 days means for ever."""
    logs, days = call.client("logs"), int(call.inputs.get("retentionInDays", 0))
    if days:
        logs.put_retention_policy(logGroupName=name, retentionInDays=days)
    elif call.old.get("retentionInDays"):
        logs.delete_retention_policy(logGroupName=name)


def _update_log_group(call: Call) -> None:
    logs = call.client("logs")
    if "retentionInDays" in call.changed:
        _set_retention(call, call.id)
    if "tags" in call.changed:
        old, new = call.old.get("tags", {}), call.inputs.get("tags", {})
        removed = [key for key in old if key not in new]
        if removed:
            logs.untag_log_group(logGroupName=call.id, tags=removed)
        if new:
            logs.tag_log_group(logGroupName=call.id, tags=new)


def _live_log_group(call: Call, name: str) -> dict[str, Any] | None:
    groups = call.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return next((group for group in groups if group["logGroupName"] == name), None)


def _read_log_group(call: Call) -> Properties | None:
    """The real provider's ARN lacks the `:*` that the API adds."""
    group = _live_log_group(call, call.id)
    return (
        None
        if group is None
        else {"arn": call.arn("logs", f"log-group:{call.id}"), "name": call.id, "retentionInDays": group.get("retentionInDays", 0)}
    )


def _find_log_group(call: Call) -> list[Found]:
    name = call.inputs["name"]
    if _live_log_group(call, name) is None:
        return []
    return [Found(name, call.client("logs").list_tags_log_group(logGroupName=name)["tags"])]


def _create_repository(call: Call) -> str:
    inputs, name = call.inputs, str(call.inputs["name"])
    scanning = inputs.get("imageScanningConfiguration", {})
    call.client("ecr").create_repository(
        repositoryName=name,
        imageTagMutability=inputs.get("imageTagMutability", "MUTABLE"),
        imageScanningConfiguration={"scanOnPush": scanning.get("scanOnPush", False)},
        tags=pairs(call.tags),
    )
    return name


def _update_repository(call: Call) -> None:
    ecr, inputs = call.client("ecr"), call.inputs
    if "imageTagMutability" in call.changed:
        ecr.put_image_tag_mutability(repositoryName=call.id, imageTagMutability=inputs.get("imageTagMutability", "MUTABLE"))
    if "imageScanningConfiguration" in call.changed:
        scanning = {"scanOnPush": inputs.get("imageScanningConfiguration", {}).get("scanOnPush", False)}
        ecr.put_image_scanning_configuration(repositoryName=call.id, imageScanningConfiguration=scanning)
    if "tags" in call.changed:
        arn = _live_repository(call, call.id)["repositoryArn"]
        old, new = call.old.get("tags", {}), inputs.get("tags", {})
        ecr.untag_resource(resourceArn=arn, tagKeys=[key for key in old if key not in new])
        ecr.tag_resource(resourceArn=arn, tags=pairs(new))


def _live_repository(call: Call, name: str) -> dict[str, Any]:
    return dict(call.client("ecr").describe_repositories(repositoryNames=[name])["repositories"][0])


def _read_repository(call: Call) -> Properties:
    repository = _live_repository(call, call.id)
    return {
        "arn": repository["repositoryArn"],
        "name": call.id,
        "registryId": repository["registryId"],
        "repositoryUrl": repository["repositoryUri"],
    }


def _find_repository(call: Call) -> list[Found]:
    ecr, name = call.client("ecr"), call.inputs["name"]
    repository = _live_repository(call, name)
    return [Found(name, mapping(ecr.list_tags_for_resource(resourceArn=repository["repositoryArn"])["tags"]))]


def _put_lifecycle(call: Call) -> str:
    policy = call.inputs["policy"]
    text = policy if isinstance(policy, str) else json.dumps(policy)
    call.client("ecr").put_lifecycle_policy(repositoryName=call.inputs["repository"], lifecyclePolicyText=text)
    return str(call.inputs["repository"])


def _again_lifecycle(call: Call) -> None:
    _put_lifecycle(call)


def _read_lifecycle(call: Call) -> Properties:
    return {"registryId": call.client("ecr").get_lifecycle_policy(repositoryName=call.id).get("registryId", call.account)}


ROWS = (
    Row(
        token="aws:cloudwatch/logGroup:LogGroup",
        create=_create_log_group,
        read=_read_log_group,
        update=_update_log_group,
        delete=lambda call: call.client("logs").delete_log_group(logGroupName=call.id),
        find=_find_log_group,
        replace=frozenset({"name", "namePrefix", "logGroupClass", "region"}),
        autoname="name",
    ),
    Row(
        token="aws:ecr/repository:Repository",
        create=_create_repository,
        read=_read_repository,
        update=_update_repository,
        delete=lambda call: call.client("ecr").delete_repository(repositoryName=call.id, force=bool(call.inputs.get("forceDelete"))),
        find=_find_repository,
        replace=frozenset({"name", "encryptionConfigurations", "region"}),
        autoname="name",
    ),
    Row(
        token="aws:ecr/lifecyclePolicy:LifecyclePolicy",
        create=_put_lifecycle,
        read=_read_lifecycle,
        update=_again_lifecycle,
        delete=lambda call: call.client("ecr").delete_lifecycle_policy(repositoryName=call.id),
        replace=frozenset({"repository", "region"}),
    ),
)
