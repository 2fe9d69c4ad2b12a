"""What the rows of EC2 share: tags at creation, a describe call by id, adoption by tag."""

from collections.abc import Callable
from typing import Any

from local.provider.row import URN_TAG, Call, Failure, Found, Properties, Row, no_failures, pascal


def find_stamped(call: Call) -> list[Found]:
    """EC2 resources that an earlier process tagged with this URN."""
    candidates = call.clients.stamped(call.region, URN_TAG).get(call.stamp[URN_TAG], {})
    return [Found(resource_id, tags) for resource_id, tags in candidates.items()]


def tag_specification(call: Call, kind: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": pairs(call.tags)}]


def pairs(tags: dict[str, str]) -> list[dict[str, str]]:
    """Tags as AWS lists them."""
    return [{"Key": key, "Value": str(value)} for key, value in tags.items()]


def mapping(tags: list[dict[str, str]] | None) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags or []}


def update_tags(call: Call) -> None:
    """Makes the tags of `call.id` those of the new inputs; our own stay."""
    if "tags" not in call.changed:
        return
    old, new = call.old.get("tags", {}), call.inputs.get("tags", {})
    removed = [{"Key": key} for key in old if key not in new]
    if removed:
        call.client("ec2").delete_tags(Resources=[call.id], Tags=removed)
    if new:
        call.client("ec2").create_tags(Resources=[call.id], Tags=pairs(new))


def boto(value: Any) -> Any:
    """A nested camelCase argument by boto3's names: first letters upper case, "true" and "false" as booleans, tag maps as lists."""
    if isinstance(value, dict):
        return {pascal(key): pairs(item) if key == "tags" else boto(item) for key, item in value.items()}
    if isinstance(value, list):
        return [boto(item) for item in value]
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def ec2_row(
    token: str,
    kind: str,
    *,
    create: Callable[[Call], str],
    describe: tuple[str, str, str],
    outputs: Callable[[Call, dict[str, Any]], Properties | None],
    delete: Callable[[Call], None],
    replace: set[str],
    update: Callable[[Call], None] | None = None,
    volatile: dict[str, frozenset[str]] | None = None,
    delete_before_replace: bool = False,
    autoname: str | None = None,
    check: Callable[[Properties], list[Failure]] | None = None,
) -> Row:
    """A row whose resource is described by id; `describe` is the method, its argument and the key of its answer."""
    method, argument, key = describe

    def read(call: Call) -> Properties | None:
        found = getattr(call.client("ec2"), method)(**{argument: [call.id]})[key]
        if not found:
            return None
        live = outputs(call, found[0])
        return None if live is None else {"arn": call.arn("ec2", f"{kind}/{call.id}"), "ownerId": call.account, **live}

    def apply(call: Call) -> None:
        update_tags(call)
        if update is not None:
            update(call)

    return Row(
        token=token,
        create=create,
        read=read,
        update=apply,
        delete=delete,
        find=find_stamped,
        replace=frozenset(replace),
        volatile=volatile or {},
        delete_before_replace=delete_before_replace,
        autoname=autoname,
        check=check or no_failures,
    )
