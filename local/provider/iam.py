"""Rows of IAM: roles, their inline and attached policies, policies, instance profiles."""

import json
from typing import Any

from local.provider.ec2 import mapping, pairs
from local.provider.row import Call, Found, Properties, Row


def _document(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _create_role(call: Call) -> str:
    name = str(call.inputs["name"])
    call.client("iam").create_role(
        RoleName=name,
        AssumeRolePolicyDocument=_document(call.inputs["assumeRolePolicy"]),
        **call.given("path", "description", "maxSessionDuration", "permissionsBoundary"),
        Tags=pairs(call.tags),
    )
    _attach_managed(call, name, set(), set(call.inputs.get("managedPolicyArns", [])))
    return name


def _attach_managed(call: Call, name: str, old: set[str], new: set[str]) -> None:
    iam = call.client("iam")
    for arn in sorted(old - new):
        iam.detach_role_policy(RoleName=name, PolicyArn=arn)
    for arn in sorted(new - old):
        iam.attach_role_policy(RoleName=name, PolicyArn=arn)


def _update_role(call: Call) -> None:
    iam, inputs = call.client("iam"), call.inputs
    if "assumeRolePolicy" in call.changed:
        iam.update_assume_role_policy(RoleName=call.id, PolicyDocument=_document(inputs["assumeRolePolicy"]))
    if "description" in call.changed or "maxSessionDuration" in call.changed:
        iam.update_role(
            RoleName=call.id, Description=inputs.get("description", ""), MaxSessionDuration=inputs.get("maxSessionDuration", 3600)
        )
    if "managedPolicyArns" in call.changed:
        _attach_managed(call, call.id, set(call.old.get("managedPolicyArns", [])), set(inputs.get("managedPolicyArns", [])))
    if "tags" in call.changed:
        old, new = call.old.get("tags", {}), inputs.get("tags", {})
        iam.untag_role(RoleName=call.id, TagKeys=[key for key in old if key not in new])
        iam.tag_role(RoleName=call.id, Tags=pairs(new))


def _delete_role(call: Call) -> None:
    """Policies attached by hand keep a role alive, on AWS as here; those of `managedPolicyArns` are ours."""
    _attach_managed(call, call.id, set(call.inputs.get("managedPolicyArns", [])), set())
    call.client("iam").delete_role(RoleName=call.id)


def _read_role(call: Call) -> Properties:
    role = call.client("iam").get_role(RoleName=call.id)["Role"]
    return {
        "arn": role["Arn"],
        "name": role["RoleName"],
        "path": role["Path"],
        "uniqueId": role["RoleId"],
        "createDate": role["CreateDate"].isoformat().replace("+00:00", "Z"),
        "maxSessionDuration": role.get("MaxSessionDuration", 3600),
    }


def _find_role(call: Call) -> list[Found]:
    iam, name = call.client("iam"), call.inputs["name"]
    iam.get_role(RoleName=name)
    return [Found(name, mapping(iam.list_role_tags(RoleName=name)["Tags"]))]


def _put_role_policy(call: Call) -> str:
    role, name = str(call.inputs["role"]), str(call.inputs["name"])
    call.client("iam").put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=_document(call.inputs["policy"]))
    return f"{role}:{name}"


def _again_role_policy(call: Call) -> None:
    _put_role_policy(call)


def _read_role_policy(call: Call) -> Properties:
    role, name = call.id.split(":", 1)
    call.client("iam").get_role_policy(RoleName=role, PolicyName=name)
    return {"name": name, "role": role}


def _delete_role_policy(call: Call) -> None:
    role, name = call.id.split(":", 1)
    call.client("iam").delete_role_policy(RoleName=role, PolicyName=name)


def _create_policy(call: Call) -> str:
    made = call.client("iam").create_policy(
        PolicyName=call.inputs["name"],
        PolicyDocument=_document(call.inputs["policy"]),
        **call.given("path", "description"),
        Tags=pairs(call.tags),
    )
    return str(made["Policy"]["Arn"])


def _update_policy(call: Call) -> None:
    """A policy keeps five versions at most, so the real provider prunes, too."""
    iam = call.client("iam")
    if "policy" in call.changed:
        versions = iam.list_policy_versions(PolicyArn=call.id)["Versions"]
        old = sorted((version for version in versions if not version["IsDefaultVersion"]), key=lambda item: item["CreateDate"])
        if len(versions) >= 5:
            iam.delete_policy_version(PolicyArn=call.id, VersionId=old[0]["VersionId"])
        iam.create_policy_version(PolicyArn=call.id, PolicyDocument=_document(call.inputs["policy"]), SetAsDefault=True)
    if "tags" in call.changed:
        old_tags, new = call.old.get("tags", {}), call.inputs.get("tags", {})
        iam.untag_policy(PolicyArn=call.id, TagKeys=[key for key in old_tags if key not in new])
        iam.tag_policy(PolicyArn=call.id, Tags=pairs(new))


def _read_policy(call: Call) -> Properties:
    policy = call.client("iam").get_policy(PolicyArn=call.id)["Policy"]
    return {
        "arn": policy["Arn"],
        "name": policy["PolicyName"],
        "path": policy["Path"],
        "policyId": policy["PolicyId"],
        "attachmentCount": policy.get("AttachmentCount", 0),
    }


def _find_policy(call: Call) -> list[Found]:
    iam = call.client("iam")
    arn = call.arn("iam", f"policy{call.inputs.get('path', '/')}{call.inputs['name']}", regional=False)
    policy = iam.get_policy(PolicyArn=arn)["Policy"]
    return [Found(arn, mapping(policy.get("Tags")))]


def _delete_policy(call: Call) -> None:
    iam = call.client("iam")
    for version in iam.list_policy_versions(PolicyArn=call.id)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=call.id, VersionId=version["VersionId"])
    iam.delete_policy(PolicyArn=call.id)


def _attach(call: Call) -> str:
    role, arn = str(call.inputs["role"]), str(call.inputs["policyArn"])
    call.client("iam").attach_role_policy(RoleName=role, PolicyArn=arn)
    return f"{role}/{arn}"


def _read_attachment(call: Call) -> Properties | None:
    role, arn = call.id.split("/", 1)
    attached = call.client("iam").list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    return {"role": role, "policyArn": arn} if any(policy["PolicyArn"] == arn for policy in attached) else None


def _detach(call: Call) -> None:
    role, arn = call.id.split("/", 1)
    call.client("iam").detach_role_policy(RoleName=role, PolicyArn=arn)


def _create_profile(call: Call) -> str:
    iam, name = call.client("iam"), str(call.inputs["name"])
    iam.create_instance_profile(InstanceProfileName=name, **call.given("path"), Tags=pairs(call.tags))
    if call.inputs.get("role"):
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=call.inputs["role"])
    return name


def _update_profile(call: Call) -> None:
    iam = call.client("iam")
    if "role" in call.changed:
        roles = iam.get_instance_profile(InstanceProfileName=call.id)["InstanceProfile"]["Roles"]
        for role in roles:
            iam.remove_role_from_instance_profile(InstanceProfileName=call.id, RoleName=role["RoleName"])
        if call.inputs.get("role"):
            iam.add_role_to_instance_profile(InstanceProfileName=call.id, RoleName=call.inputs["role"])
    if "tags" in call.changed:
        old, new = call.old.get("tags", {}), call.inputs.get("tags", {})
        iam.untag_instance_profile(InstanceProfileName=call.id, TagKeys=[key for key in old if key not in new])
        iam.tag_instance_profile(InstanceProfileName=call.id, Tags=pairs(new))


def _read_profile(call: Call) -> Properties:
    profile = call.client("iam").get_instance_profile(InstanceProfileName=call.id)["InstanceProfile"]
    return {
        "arn": profile["Arn"],
        "name": profile["InstanceProfileName"],
        "path": profile["Path"],
        "uniqueId": profile["InstanceProfileId"],
        "createDate": profile["CreateDate"].isoformat().replace("+00:00", "Z"),
    }


def _find_profile(call: Call) -> list[Found]:
    iam, name = call.client("iam"), call.inputs["name"]
    profile = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    return [Found(name, mapping(profile.get("Tags")))]


def _delete_profile(call: Call) -> None:
    iam = call.client("iam")
    for role in iam.get_instance_profile(InstanceProfileName=call.id)["InstanceProfile"]["Roles"]:
        iam.remove_role_from_instance_profile(InstanceProfileName=call.id, RoleName=role["RoleName"])
    iam.delete_instance_profile(InstanceProfileName=call.id)


def _row(token: str, **calls: Any) -> Row:
    return Row(token=f"aws:iam/{token[0].lower()}{token[1:]}:{token}", **calls)


_NAMED = frozenset({"name", "namePrefix", "path"})

ROWS = (
    _row(
        "Role",
        create=_create_role,
        read=_read_role,
        update=_update_role,
        delete=_delete_role,
        find=_find_role,
        replace=_NAMED,
        autoname="name",
    ),
    _row(
        "RolePolicy",
        create=_put_role_policy,
        read=_read_role_policy,
        update=_again_role_policy,
        delete=_delete_role_policy,
        replace=frozenset({"name", "namePrefix", "role"}),
        autoname="name",
    ),
    _row(
        "Policy",
        create=_create_policy,
        read=_read_policy,
        update=_update_policy,
        delete=_delete_policy,
        find=_find_policy,
        replace=_NAMED | {"description"},
        autoname="name",
    ),
    _row("RolePolicyAttachment", create=_attach, read=_read_attachment, delete=_detach),
    _row(
        "InstanceProfile",
        create=_create_profile,
        read=_read_profile,
        update=_update_profile,
        delete=_delete_profile,
        find=_find_profile,
        replace=_NAMED,
        autoname="name",
    ),
)
