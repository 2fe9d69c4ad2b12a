"""The row of launch templates, with EC2's limit of user data."""

import base64
import binascii
from typing import Any

from local.provider.ec2 import boto, ec2_row, tag_specification
from local.provider.row import ANY, Call, Failure, Properties

MAX_USER_DATA = 16_384
"""Bytes of raw user data that EC2 takes; moto takes any."""

_TEMPLATE_ONLY = {"name", "namePrefix", "description", "updateDefaultVersion", "defaultVersion", "tags", "region", "vpcSecurityGroupIds"}


def _template_data(call: Call) -> dict[str, Any]:
    """The template's body; disks, groups and tags have AWS's names for what Pulumi names otherwise."""
    inputs = call.inputs
    data: dict[str, Any] = boto({key: value for key, value in inputs.items() if key not in _TEMPLATE_ONLY and not key.startswith("__")})
    if inputs.get("vpcSecurityGroupIds"):
        data["SecurityGroupIds"] = inputs["vpcSecurityGroupIds"]
    if "SecurityGroupNames" in data:
        data["SecurityGroups"] = data.pop("SecurityGroupNames")
    for interface in data.get("NetworkInterfaces", []):
        if "SecurityGroups" in interface:
            interface["Groups"] = interface.pop("SecurityGroups")
    if "userData" in inputs:
        data["UserData"] = inputs["userData"]
    return data


def _create_template(call: Call) -> str:
    made = call.client("ec2").create_launch_template(
        LaunchTemplateName=call.inputs["name"],
        **({"VersionDescription": call.inputs["description"]} if call.inputs.get("description") else {}),
        LaunchTemplateData=_template_data(call),
        TagSpecifications=tag_specification(call, "launch-template"),
    )
    return str(made["LaunchTemplate"]["LaunchTemplateId"])


_NOT_IN_A_VERSION = {"tags", "updateDefaultVersion", "defaultVersion"}


def _update_template(call: Call) -> None:
    """Every change of the body is a new version. A template that was adopted is whole: it was made by one call."""
    ec2, inputs = call.client("ec2"), call.inputs
    default: int | None = inputs.get("defaultVersion") if "defaultVersion" in call.changed else None
    if call.old and call.changed - _NOT_IN_A_VERSION:
        made = ec2.create_launch_template_version(
            LaunchTemplateId=call.id,
            **({"VersionDescription": inputs["description"]} if inputs.get("description") else {}),
            LaunchTemplateData=_template_data(call),
        )
        if inputs.get("updateDefaultVersion"):
            default = made["LaunchTemplateVersion"]["VersionNumber"]
    if default is not None:
        ec2.modify_launch_template(LaunchTemplateId=call.id, DefaultVersion=str(default))


def _template_outputs(call: Call, template: dict[str, Any]) -> Properties:
    return {
        "name": template["LaunchTemplateName"],
        "latestVersion": int(template["LatestVersionNumber"]),
        "defaultVersion": int(template["DefaultVersionNumber"]),
    }


def _check_template(inputs: Properties) -> list[Failure]:
    """Counts what EC2 counts: the bytes before base64."""
    value = inputs.get("userData")
    if not isinstance(value, str):
        return []
    try:
        size = len(base64.b64decode(value, validate=True))
    except binascii.Error:
        return [Failure("userData", "userData is not base64, which EC2 expects here; encode it (base64.b64encode)")]
    if size <= MAX_USER_DATA:
        return []
    return [
        Failure(
            "userData",
            f"userData is {size} bytes; EC2 takes at most {MAX_USER_DATA} (before base64). "
            "Compress its files (encoding gz+b64) or fetch them from S3 at boot",
        )
    ]


ROWS = (
    ec2_row(
        "aws:ec2/launchTemplate:LaunchTemplate",
        "launch-template",
        create=_create_template,
        describe=("describe_launch_templates", "LaunchTemplateIds", "LaunchTemplates"),
        outputs=_template_outputs,
        update=_update_template,
        delete=lambda call: call.client("ec2").delete_launch_template(LaunchTemplateId=call.id),
        replace={"name", "namePrefix", "region"},
        volatile={"latestVersion": frozenset({ANY}), "defaultVersion": frozenset({ANY})},
        autoname="name",
        check=_check_template,
    ),
)
