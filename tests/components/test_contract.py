"""What every component promises, checked over all of them at once."""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
from typing import Any

import pulumi
import pytest

import components

COMPONENTS: dict[str, type[pulumi.ComponentResource]] = {
    f"{module.name}.{name}": value
    for module in pkgutil.iter_modules(components.__path__)
    for name, value in vars(importlib.import_module(f"components.{module.name}")).items()
    if inspect.isclass(value) and issubclass(value, pulumi.ComponentResource) and value.__module__ == f"components.{module.name}"
}
UNTAGGED = {
    "aws:autoscaling/group:Group",  # its tags are a list, tested by itself
    "aws:autoscaling/policy:Policy",
    "aws:ec2/route:Route",
    "aws:ec2/routeTableAssociation:RouteTableAssociation",
    "aws:ec2/subnetCidrReservation:SubnetCidrReservation",
    "aws:iam/rolePolicy:RolePolicy",
    "aws:route53/record:Record",
    "aws:s3/bucketObjectv2:BucketObjectv2",  # ten tags at most, and it belongs to its bucket
    "aws:s3/bucketPolicy:BucketPolicy",
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
    "aws:s3/bucketVersioning:BucketVersioning",
    "aws:secretsmanager/secretVersion:SecretVersion",
}
"""AWS has no tags for these."""
OUR_NAMES = {
    "aws:cloudwatch/logGroup:LogGroup",
    "aws:route53/record:Record",
    "aws:route53/zone:Zone",
    "aws:secretsmanager/secret:Secret",
    "aws:ssm/parameter:Parameter",
}
"""Resources that machines know by name; every other physical name is Pulumi's to choose."""


def test_there_are_components_to_check() -> None:
    assert len(COMPONENTS) >= 15


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_takes_name_args_and_opts(name: str) -> None:
    parameters = list(inspect.signature(COMPONENTS[name].__init__).parameters.values())[1:]
    assert [parameter.name for parameter in parameters] == ["name", "args", "opts"]
    assert parameters[2].default is None


@pytest.mark.parametrize("name", COMPONENTS)
def test_the_arguments_are_a_frozen_dataclass_of_keywords(name: str) -> None:
    annotation = inspect.get_annotations(COMPONENTS[name].__init__, eval_str=True)["args"]
    assert dataclasses.is_dataclass(annotation)
    assert annotation.__name__ == f"{COMPONENTS[name].__name__}Args"
    settings: Any = annotation.__dataclass_params__  # type: ignore[attr-defined]
    assert settings.frozen
    assert all(field.kw_only for field in dataclasses.fields(annotation))


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_output_is_annotated_and_documented(name: str) -> None:
    tree = ast.parse(inspect.getsource(COMPONENTS[name]))
    body = tree.body[0].body  # type: ignore[attr-defined]
    for index, node in enumerate(body):
        if isinstance(node, ast.AnnAssign):
            following = body[index + 1]
            assert isinstance(following, ast.Expr), f"{ast.unparse(node)} has no docstring"
    assert inspect.getdoc(COMPONENTS[name])


def test_every_component_is_in_the_program_under_its_own_type(dev: Any, unrouted: Any, outer: Any) -> None:
    declared = {resource.type for program in (dev, unrouted, outer) for resource in program.resources if not resource.custom}
    expected = {f"mesh:{name.split('.')[0]}:{name.split('.')[1]}" for name in COMPONENTS}
    assert declared == expected


@pytest.fixture(params=["dev", "unrouted", "outer"])
def program(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def test_every_component_registers_its_outputs(program: Any) -> None:
    assert {resource.urn for resource in program.resources if not resource.custom} <= set(program.outputs)


def test_every_resource_has_a_component_for_parent(program: Any) -> None:
    parents = {resource.urn for resource in program.resources if not resource.custom}
    orphans = [resource.urn for resource in program.resources if resource.custom and resource.parent not in parents]
    assert orphans == []


def test_a_childs_name_begins_with_its_components_name(program: Any) -> None:
    names = {resource.urn: resource.name for resource in program.resources}
    wrong = [
        resource.urn for resource in program.resources if resource.custom and not resource.name.startswith(names[resource.parent] + "-")
    ]
    assert wrong == []


def test_every_taggable_resource_says_its_stack(program: Any) -> None:
    wrong = [
        resource.urn
        for resource in program.resources
        if resource.type.startswith("aws:") and resource.type not in UNTAGGED and resource.inputs.get("tags", {}).get("mesh:stack") != "dev"
    ]
    assert wrong == []


def test_a_group_tags_the_machines_that_it_launches(program: Any) -> None:
    for group in program.of("aws:autoscaling/group:Group"):
        tags = {tag["key"]: tag["value"] for tag in group.inputs["tags"] if tag["propagateAtLaunch"]}
        name = group.name.removesuffix("-group")
        assert (tags["Name"], tags["mesh:stack"]) == (f"dev-{name}", "dev")
        assert {"mesh:role", "mesh:service"} <= set(tags)


def test_what_a_template_makes_with_a_machine_is_tagged_as_it(program: Any) -> None:
    """IAM lets a machine's agent change what has its stack's and its role's tags."""
    for template in program.of("aws:ec2/launchTemplate:LaunchTemplate"):
        tagged = {one["resourceType"]: one["tags"] for one in template.inputs["tagSpecifications"]}
        assert tagged == dict.fromkeys(("volume", "network-interface"), template.inputs["tags"])


def test_physical_names_are_pulumis_own(program: Any) -> None:
    named = {resource.type for resource in program.resources if resource.type.startswith("aws:") and "name" in resource.inputs}
    assert named <= OUR_NAMES
