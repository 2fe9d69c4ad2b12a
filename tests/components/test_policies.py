"""IAM policies: well-formed, and wide only where AWS knows nothing narrower."""

import json
from typing import Any

import pytest

from components import policies

REGION, STACK, BUCKET = "eu-central-1", "dev", "arn:aws:s3:::bucket"
NO_RESOURCE_TYPES = {
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeAutoScalingInstances",
    "autoscaling:DescribeLifecycleHooks",
    "ec2:DescribeAddresses",
    "ec2:DescribeAvailabilityZones",
    "ec2:DescribeInstances",
    "ec2:DescribeVolumes",
    "ecr:GetAuthorizationToken",
    "route53:ListHostedZones",
}
"""Actions for which AWS's service authorization reference names no resource; beside the agent's channels."""
CHANNELS = ("ssmmessages:", "ec2messages:")

STATEMENTS: dict[str, list[policies.Statement]] = {
    "logs": [policies.logs(["arn:aws:logs:eu-central-1:1:log-group:/x:*"])],
    "parameters": [policies.parameters(REGION, ["/envoy-mesh/dev/tls/ca"])],
    "secrets": [policies.secrets(REGION, ["/envoy-mesh/dev/database/web"])],
    "pull_images": policies.pull_images(["arn:aws:ecr:eu-central-1:1:repository/x"]),
    "take_address": policies.take_address(REGION, STACK),
    "claim_address": [policies.claim_address(REGION, STACK, "database")],
    "attach_volume": policies.attach_volume(REGION, STACK, "database"),
    "control": policies.control(REGION, STACK, BUCKET),
    "renew_certificate": policies.renew_certificate(REGION, ["/envoy-mesh/dev/edge/acme/key"]),
    "discover": [policies.discover()],
    "machine": policies.machine(REGION, [])["Statement"],
}


def as_list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_has_effect_actions_and_resources(name: str) -> None:
    for statement in STATEMENTS[name]:
        assert statement["Effect"] == "Allow"
        assert statement["Action"]
        assert statement["Resource"]
        assert set(statement) <= {"Effect", "Action", "Resource", "Condition"}


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_action_is_a_wildcard(name: str) -> None:
    assert not [action for statement in STATEMENTS[name] for action in as_list(statement["Action"]) if "*" in action]


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_resource_is_allowed_only_where_aws_knows_no_narrower_one(name: str) -> None:
    for statement in STATEMENTS[name]:
        if "*" in as_list(statement["Resource"]):
            wide = [
                action for action in as_list(statement["Action"]) if action not in NO_RESOURCE_TYPES and not action.startswith(CHANNELS)
            ]
            assert wide == []


def test_a_machine_reads_its_own_parameters_only() -> None:
    assert policies.parameters(REGION, ["/envoy-mesh/dev/tls/ca"])["Resource"] == [
        "arn:aws:ssm:eu-central-1:*:parameter/envoy-mesh/dev/tls/ca"
    ]


def test_a_secrets_name_is_matched_with_the_six_characters_that_aws_appends() -> None:
    (resource,) = policies.secrets(REGION, ["/a/b"])["Resource"]
    assert resource == "arn:aws:secretsmanager:eu-central-1:*:secret:/a/b-??????"


def test_addresses_move_only_between_resources_of_the_stack() -> None:
    (move,) = [statement for statement in policies.take_address(REGION, STACK) if statement["Action"] == ["ec2:AssociateAddress"]]
    assert move["Condition"] == {"StringEquals": {"aws:ResourceTag/mesh:stack": "dev"}}


@pytest.mark.parametrize("action", ["ec2:AssignPrivateIpAddresses", "ec2:AttachVolume"])
def test_a_machine_claims_only_what_its_own_role_is_for(action: str) -> None:
    (claim,) = [s for s in STATEMENTS["claim_address"] + STATEMENTS["attach_volume"] if action in s["Action"]]
    assert claim["Condition"] == {"StringEquals": {"aws:ResourceTag/mesh:stack": "dev", "aws:ResourceTag/mesh:role": "database"}}


def test_lifecycle_actions_are_limited_to_the_stacks_groups() -> None:
    (finish,) = [s for s in policies.control(REGION, STACK, BUCKET) if "autoscaling:CompleteLifecycleAction" in s["Action"]]
    assert finish["Condition"] == {"StringEquals": {"autoscaling:ResourceTag/mesh:stack": "dev"}}


def test_a_control_plane_writes_its_own_part_of_the_bucket_alone() -> None:
    writes = [s["Resource"] for s in policies.control(REGION, STACK, BUCKET) if "s3:PutObject" in s["Action"]]
    assert writes == [[f"{BUCKET}/control/*"]]


def test_a_renewal_changes_its_own_parameters_and_proofs_of_domains_alone() -> None:
    store, _, _, prove = STATEMENTS["renew_certificate"]
    assert store["Resource"] == ["arn:aws:ssm:eu-central-1:*:parameter/envoy-mesh/dev/edge/acme/key"]
    assert prove["Condition"]["ForAllValues:StringEquals"]["route53:ChangeResourceRecordSetsRecordTypes"] == ["TXT"]
    assert prove["Condition"]["ForAllValues:StringLike"] == {"route53:ChangeResourceRecordSetsNormalizedRecordNames": ["_acme-challenge.*"]}


def test_the_bucket_refuses_what_does_not_come_by_tls() -> None:
    (statement,) = policies.tls_only(BUCKET)["Statement"]
    assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
    assert statement["Resource"] == [BUCKET, f"{BUCKET}/*"]


def test_policies_fit_into_a_roles_inline_limit() -> None:
    """IAM: 10,240 characters for all inline policies of a role."""
    everything = [statement for statements in STATEMENTS.values() for statement in statements]
    assert len(json.dumps(policies.machine(REGION, everything), separators=(",", ":"))) < 10_240
