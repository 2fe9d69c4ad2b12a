"""Every policy that the program gives to AWS, as deployed: least privilege by our own rules, and (slow) by two linters of others.

A policy that passes is not thereby enough for its machine: moto enforces none, so only a first deploy shows what is missing.
"""

import json
import re
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from model import contract
from model.contract import (
    TAG_ROLE,
    TAG_STACK,
    Role,
    ca_parameter,
    database_secret,
    edge_tls_parameter,
    login_parameter,
    parameter_name,
    tls_parameter,
)
from model.read import read_mesh
from model.spec import MeshSpec
from tests.programs import find_uv

pytestmark = pytest.mark.components

STACK = "dev"
Statement = dict[str, Any]
OPEN = {
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeAutoScalingInstances",
    "autoscaling:DescribeLifecycleHooks",
    "ec2:DescribeAddresses",
    "ec2:DescribeAvailabilityZones",
    "ec2:DescribeInstances",
    "ec2:DescribeVolumes",
    "ecr:GetAuthorizationToken",
}
"""Actions for which the service authorization reference names no resource."""
AGENT = ("ec2messages:*", "ssmmessages:*")
"""The channels of Session Manager's agent, which know no resource either."""
OF_STACK = {
    "autoscaling:CompleteLifecycleAction",
    "autoscaling:RecordLifecycleActionHeartbeat",
    "autoscaling:SetInstanceHealth",
    "ec2:AssignPrivateIpAddresses",
    "ec2:AssociateAddress",
    "ec2:AttachVolume",
}
"""Changes whose resources are known by their tag alone."""
ESCALATION = (
    "iam:*",
    "sts:*",
    "organizations:*",
    "ec2:RunInstances",
    "ec2:CreateTags",
    "autoscaling:Update*",
    "autoscaling:Create*",
    "kms:*",
)
"""With these a machine could give itself more than it has; tagging would undo every condition on tags."""
PARLIAMENT = ("--from", "parliament==1.6.4", "--with", "setuptools<81", "python", "-W", "ignore", "-c")
CLOUDSPLAINING = ("cloudsplaining==0.9.1", "scan-policy-file", "-i")
ACCEPTED = {"ecr:GetAuthorizationToken"}
"""What cloudsplaining finds and we keep: a registry token opens only what the role may pull."""
WIDE = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject", "iam:PassRole", "ec2:RunInstances"], "Resource": "*"}],
}
UNKNOWN = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:GetObjekt"], "Resource": "arn:aws:s3:::b/*"}]}


@pytest.fixture(scope="module")
def mesh(configs: Any) -> MeshSpec:
    return read_mesh(configs(STACK)["envoy-mesh:mesh"])


@pytest.fixture(scope="module")
def roles(deployment: Any) -> dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]]:
    """Logical name of each role -> its trust policy and its inline policies, as IAM holds them."""
    iam, found = deployment.client("iam"), {}
    for type_, name in deployment.made:
        if type_ != "aws:iam/role:Role":
            continue
        real = deployment.id_of(type_, name)
        names = iam.list_role_policies(RoleName=real)["PolicyNames"]
        assert iam.list_attached_role_policies(RoleName=real)["AttachedPolicies"] == [], "managed policies change without us"
        inline = {policy: iam.get_role_policy(RoleName=real, PolicyName=policy)["PolicyDocument"] for policy in names}
        found[name.removesuffix("-role")] = (iam.get_role(RoleName=real)["Role"]["AssumeRolePolicyDocument"], inline)
    return found


@pytest.fixture(scope="module")
def statements(roles: Any) -> list[tuple[str, Statement]]:
    """Every statement with the role that has it."""
    return [(role, statement) for role, (_, inline) in roles.items() for policy in inline.values() for statement in policy["Statement"]]


def as_list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def matches(action: str, patterns: Any) -> bool:
    return any(fnmatchcase(action, pattern) for pattern in patterns)


def names_read(statements: list[tuple[str, Statement]], role: str, action: str) -> set[str]:
    """What a role may read by an action, without region and account."""
    arns = {
        arn for owner, statement in statements if owner == role and action in statement["Action"] for arn in as_list(statement["Resource"])
    }
    return {re.sub(r"^arn:aws:[a-z]+:[a-z0-9-]+:\*:[a-z]+:?", "", arn) for arn in arns}


def test_each_kind_of_machine_has_one_role_with_one_policy(roles: Any, mesh: MeshSpec) -> None:
    machines = {"edge", "database", "control-plane", "monitoring", "identity", *(f"service-{name}" for name in mesh.services)}
    assert set(roles) == machines | {"network-flow"}
    assert {len(inline) for _, inline in roles.values()} == {1}


def test_only_ec2_takes_a_machines_role(roles: Any) -> None:
    takers = {name: as_list(trust["Statement"]) for name, (trust, _) in roles.items()}
    for name, trusted in takers.items():
        (statement,) = trusted
        service = "vpc-flow-logs.amazonaws.com" if name == "network-flow" else "ec2.amazonaws.com"
        assert (statement["Principal"], statement["Action"]) == ({"Service": service}, "sts:AssumeRole")


def test_no_statement_has_a_wildcard_action_or_says_what_is_not_meant(statements: list[tuple[str, Statement]]) -> None:
    for role, statement in statements:
        assert statement["Effect"] == "Allow", role
        assert not {"NotAction", "NotResource", "NotPrincipal"} & set(statement), role
        assert [action for action in as_list(statement["Action"]) if "*" in action] == [], role


def test_every_resource_is_allowed_only_to_actions_that_know_none(statements: list[tuple[str, Statement]]) -> None:
    wide = {
        (role, action)
        for role, statement in statements
        if "*" in as_list(statement["Resource"])
        for action in as_list(statement["Action"])
        if action not in OPEN and not matches(action, AGENT)
    }
    assert wide == set()


def test_no_machine_can_widen_its_own_rights(statements: list[tuple[str, Statement]]) -> None:
    found = {(role, action) for role, statement in statements for action in as_list(statement["Action"]) if matches(action, ESCALATION)}
    assert found == set()


def test_changes_are_limited_to_the_stacks_own_resources(statements: list[tuple[str, Statement]]) -> None:
    """A tag's condition on every change; whatever else changes something names its resource outright."""
    seen = set()
    for role, statement in statements:
        tagged = OF_STACK & set(as_list(statement["Action"]))
        seen |= tagged
        if tagged:
            equal = statement["Condition"]["StringEquals"]
            tags = {key.partition(":ResourceTag/")[2]: value for key, value in equal.items()}
            assert {key.partition(":ResourceTag/")[0] for key in equal} <= {"aws", "autoscaling", "ec2"}, role
            assert tags in ({TAG_STACK: STACK}, {TAG_STACK: STACK, TAG_ROLE: role}), role
            assert set(statement["Condition"]) == {"StringEquals"}, role
    assert seen == OF_STACK


def test_a_role_reads_its_own_parameters_and_no_other(statements: list[tuple[str, Statement]], mesh: MeshSpec) -> None:
    expected = {
        "monitoring": set(),
        "identity": {login_parameter(STACK, item) for item in ("client-secret", "password", "signing-key")},
    }
    for role, service in {Role.EDGE: "edge", Role.CONTROL_PLANE: "control-plane", Role.DATABASE: "postgres"}.items():
        expected[role.value] = own_keys(role, service)
    expected["control-plane"] |= {edge_tls_parameter(STACK, item) for item in ("certificate", "key")}
    expected["control-plane"] |= {login_parameter(STACK, item) for item in ("cookie-key", "client-secret")}
    for name, service in mesh.services.items():
        expected[f"service-{name}"] = own_keys(Role.SERVICE, name) | set(service.secrets.values())
    for action in ("ssm:GetParameter", "ssm:GetParameters"):
        found = {role: {name.removeprefix("parameter") for name in names_read(statements, role, action)} for role in expected}
        assert found == expected


def own_keys(role: Role, service: str) -> set[str]:
    return {ca_parameter(STACK), *(tls_parameter(STACK, role, service, item) for item in ("certificate", "key"))}


def test_a_role_reads_its_own_secrets_and_no_other(statements: list[tuple[str, Statement]], mesh: MeshSpec) -> None:
    callers = mesh.callers_of("postgres")
    expected = {f"service-{name}": {database_secret(STACK, name)} if name in callers else set() for name in mesh.services}
    expected |= {"edge": set(), "control-plane": set(), "monitoring": {parameter_name(STACK, "grafana", "admin")}}
    expected["database"] = {database_secret(STACK, user) for user in ("postgres", *callers)}
    found = {role: names_read(statements, role, "secretsmanager:GetSecretValue") for role in expected}
    assert found == {role: {f"{name}-??????" for name in names} for role, names in expected.items()}


def test_nobody_reads_by_path_or_pattern(statements: list[tuple[str, Statement]]) -> None:
    """AWS's six random characters at a secret's end are the one pattern."""
    for role, statement in statements:
        if any(matches(action, ("ssm:Get*", "secretsmanager:*")) for action in as_list(statement["Action"])):
            assert set(as_list(statement["Action"])) <= {"ssm:GetParameter", "ssm:GetParameters", "secretsmanager:GetSecretValue"}, role
            for arn in as_list(statement["Resource"]):
                name = arn.split(":", 5)[5].removesuffix("-??????")
                assert f"/{contract.PROJECT}/{STACK}/" in name, (role, arn)
                assert not set("*?") & set(name), (role, arn)


def test_logs_go_to_the_roles_own_group(statements: list[tuple[str, Statement]]) -> None:
    groups: dict[str, set[str]] = {}
    for role, statement in statements:
        if "logs:PutLogEvents" in statement["Action"]:
            groups.setdefault(role, set()).update(as_list(statement["Resource"]))
    assert {len(group) for group in groups.values()} == {1}
    assert len(set().union(*groups.values())) == len(groups), "no two roles share a log group"


def test_buckets_are_open_to_control_planes_only_and_they_write_only_their_own_part(statements: list[tuple[str, Statement]]) -> None:
    used = {
        (role, action, arn)
        for role, s in statements
        for action in as_list(s["Action"])
        for arn in s["Resource"]
        if action.startswith("s3:")
    }
    assert {role for role, _, _ in used} == {"control-plane"}
    written = {arn.split("/", 1)[1] for _, action, arn in used if not action.startswith(("s3:Get", "s3:List"))}
    assert written == {"control/*"}


def test_a_machine_pulls_the_agent_and_its_own_image_only(statements: list[tuple[str, Statement]], deployment: Any) -> None:
    pulled = {role: {arn.rsplit("/", 1)[1] for arn in s["Resource"]} for role, s in statements if "ecr:BatchGetImage" in s["Action"]}
    named = {role: {name.rsplit("-", 1)[0] for name in names} for role, names in pulled.items()}
    agent = "image-agent"
    assert named == {
        "edge": {agent},
        "database": {agent},
        "monitoring": {agent},
        "identity": {agent, "image-identity"},
        "control-plane": {agent, "image-control-plane"},
        "service-service-1": {agent, "image-http-service"},
        "service-service-2": {agent, "image-http-service"},
        "service-grpc-1": {agent, "image-grpc-service"},
    }


@pytest.fixture(scope="module")
def uv() -> str:
    return find_uv()


def tool(uv: str, *words: str, cwd: Path) -> str:
    """A linter's output; both of them end with 0 or 1 as they please, so the text decides."""
    done = subprocess.run([uv, "tool", "run", *words], cwd=cwd, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
    assert done.stdout.strip(), f"{' '.join(words)[:80]} said nothing: {done.stderr[-2000:]}"
    return done.stdout


def written(roles: Any, directory: Path) -> list[Path]:
    """The policies as files, and two planted faults that a linter must find."""
    everything = {role: next(iter(inline.values())) for role, (_, inline) in roles.items()} | {"wide": WIDE, "unknown": UNKNOWN}
    files = [directory / f"{role}.json" for role in everything]
    for file, policy in zip(files, everything.values(), strict=True):
        file.write_text(json.dumps(policy))
    return files


@pytest.mark.slow
def test_parliament_finds_no_unknown_action_and_no_wrong_resource(roles: Any, uv: str, tmp_path: Path) -> None:
    program = (
        "import json, pathlib, parliament\n"
        "read = lambda file: parliament.analyze_policy_string(file.read_text())\n"
        "print(json.dumps({file.stem: [f.issue for f in read(file).findings] for file in pathlib.Path().glob('*.json')}))"
    )
    files = written(roles, tmp_path)
    findings = json.loads(tool(uv, *PARLIAMENT, program, cwd=tmp_path))
    assert findings.pop("unknown") == ["UNKNOWN_ACTION"]
    findings.pop("wide")
    assert findings == {file.stem: [] for file in files if file.stem not in ("unknown", "wide")}


@pytest.mark.slow
def test_cloudsplaining_finds_no_escalation_and_no_exposure(roles: Any, uv: str, tmp_path: Path) -> None:
    found = {file.stem: tool(uv, *CLOUDSPLAINING, str(file), cwd=tmp_path) for file in written(roles, tmp_path) if file.stem != "unknown"}
    assert "Privilege Escalation" in found.pop("wide")
    for role, text in found.items():
        named = set(re.findall(r"[a-z0-9-]+:[A-Z][A-Za-z]+", text))
        assert named <= ACCEPTED, f"{role}: {text}"
        assert named or "no results" in text, f"{role}: {text}"
