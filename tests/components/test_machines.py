"""What moto holds of the machines: identity, place, fences, disks, and how they are replaced. It proves no boot."""

import base64
import gzip
import json
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from components.certificates import fingerprint

pytestmark = pytest.mark.components

TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
GROUP = "aws:autoscaling/group:Group"
FIXED = ("control-plane", "database", "monitoring", "identity")


@pytest.fixture(scope="module")
def ec2(deployment: Any) -> Any:
    return deployment.client("ec2")


@pytest.fixture(scope="module")
def machines(ec2: Any) -> list[dict[str, Any]]:
    found = ec2.describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["running", "pending"]}])
    return [instance for reservation in found["Reservations"] for instance in reservation["Instances"]]


def tags_of(thing: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in thing.get("Tags", [])}


def of_role(machines: list[dict[str, Any]], role: str) -> list[dict[str, Any]]:
    return [machine for machine in machines if tags_of(machine).get("mesh:role") == role]


def group_names(ec2: Any, ids: list[str]) -> set[str]:
    groups = ec2.describe_security_groups(GroupIds=ids)["SecurityGroups"]
    return {tags_of(group)["Name"].removeprefix("dev-") for group in groups}


def user_data_of(template: Any) -> str:
    return base64.b64decode(template.inputs["userData"]).decode()


def files_of(user_data: str) -> dict[str, str]:
    """What cloud-init writes, by path."""
    entries = yaml.safe_load(user_data.split("\n", 1)[1])["write_files"]
    return {
        entry["path"]: gzip.decompress(base64.b64decode(entry["content"])).decode() if "encoding" in entry else entry["content"]
        for entry in entries
    }


def task_of(deployment: Any, template: str) -> dict[str, Any]:
    """The task of a machine's agent."""
    text = files_of(user_data_of(deployment.program.one(TEMPLATE, template)))["/etc/mesh/agent.json"]
    task: dict[str, Any] = json.loads(text)
    return task


def test_every_box_of_the_picture_is_there(machines: list[dict[str, Any]]) -> None:
    counted = sorted((tags_of(machine)["mesh:role"], tags_of(machine)["mesh:service"]) for machine in machines)
    assert counted == sorted(
        [
            *[("edge", "edge")] * 2,
            *[("control-plane", "control-plane")] * 2,
            *[("service", "service-1")] * 2,
            *[("service", "service-2")] * 2,
            *[("service", "grpc-1")] * 2,
            ("database", "postgres"),
            ("monitoring", "monitoring"),
            ("identity", "identity"),
        ]
    )


def test_edges_stand_in_the_zones_in_turn_and_in_public_subnets(machines: list[dict[str, Any]], deployment: Any) -> None:
    edges = of_role(machines, "edge")
    subnets = {deployment.id_of("aws:ec2/subnet:Subnet", f"network-public-eu-central-1{zone}") for zone in "ab"}
    assert {edge["SubnetId"] for edge in edges} == subnets


@pytest.mark.parametrize(
    ("role", "address"),
    [("control-plane", "10.20.24.4"), ("control-plane", "10.20.56.4"), ("database", "10.20.24.12"), ("monitoring", "10.20.56.13")],
)
def test_fixed_machines_have_the_address_that_the_plan_gives_them(machines: list[dict[str, Any]], role: str, address: str) -> None:
    assert address in {tags_of(machine)["mesh:address"] for machine in of_role(machines, role)}


def test_what_ec2_gives_a_fixed_machine_is_none_of_the_addresses_that_are_claimed(machines: list[dict[str, Any]]) -> None:
    fixed = [machine for role in FIXED for machine in of_role(machines, role)]
    assert len(fixed) == 5
    for machine in fixed:
        claimed, primary = ip_address(tags_of(machine)["mesh:address"]), ip_address(machine["PrivateIpAddress"])
        head = ip_network(f"{claimed}/28", strict=False)
        assert primary not in head
        assert primary in ip_network(f"{claimed}/24", strict=False)


def test_machines_have_the_groups_of_their_kind(ec2: Any, machines: list[dict[str, Any]]) -> None:
    expected = {
        "edge": {"edge", "envoy", "machine"},
        "database": {"database", "envoy", "machine"},
        "control-plane": {"control-plane", "machine"},
        "monitoring": {"monitoring", "machine"},
    }
    for role, groups in expected.items():
        for machine in of_role(machines, role):
            ids = [group["GroupId"] for nic in machine["NetworkInterfaces"] for group in nic["Groups"]]
            assert group_names(ec2, ids) == groups


def test_metadata_answers_need_a_token_and_do_not_leave_the_machine(deployment: Any) -> None:
    asked = [template.inputs["metadataOptions"] for template in deployment.program.of(TEMPLATE)]
    assert len(asked) == 10
    assert all(options["httpTokens"] == "required" and options["httpPutResponseHopLimit"] == 1 for options in asked)


def test_every_disk_is_encrypted(deployment: Any) -> None:
    disks = [volume.inputs["encrypted"] for volume in deployment.program.of("aws:ebs/volume:Volume")]
    for template in deployment.program.of(TEMPLATE):
        disks += [mapping["ebs"]["encrypted"] == "true" for mapping in template.inputs["blockDeviceMappings"]]
    assert len(disks) == 2 + 10
    assert all(disks)


def test_user_data_names_the_certificate_that_ssm_holds(deployment: Any) -> None:
    ssm = deployment.client("ssm")
    for machine in ("edge/edge", "control-plane/control-plane", "database/postgres"):
        pem = ssm.get_parameter(Name=f"/envoy-mesh/dev/tls/{machine}/certificate", WithDecryption=True)["Parameter"]["Value"]
        role = machine.split("/")[0]
        declared = [user_data_of(one) for one in deployment.program.of(TEMPLATE) if one.name.startswith(f"{role}-")]
        assert declared
        assert all(f"# certificate {fingerprint(pem)}\n" in text for text in declared)


def test_machines_wait_for_the_ways_out_the_rules_and_the_keys(deployment: Any) -> None:
    needed = {"aws:ec2/route:Route", "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule", "aws:ssm/parameter:Parameter"}
    types = {resource.urn: resource.type for resource in deployment.program.resources}
    for group in deployment.program.of(GROUP):
        assert needed <= {types[urn] for urn in group.dependencies if urn in types}


def test_no_association_of_an_address_is_declared(deployment: Any) -> None:
    assert deployment.program.of("aws:ec2/eipAssociation:EipAssociation") == []


def test_each_edge_knows_the_allocation_of_its_own_address(deployment: Any) -> None:
    addresses = {address["AllocationId"] for address in deployment.client("ec2").describe_addresses()["Addresses"]}
    known = set()
    for number in (0, 1):
        known.add(deployment.id_of("aws:ec2/eip:Eip", f"edge-address-{number}"))
    assert len(known) == 2
    assert known <= addresses


@pytest.mark.parametrize("role", ["database", "monitoring"])
def test_a_data_volume_waits_for_its_machine_in_the_same_zone(ec2: Any, machines: list[dict[str, Any]], deployment: Any, role: str) -> None:
    volume = deployment.id_of("aws:ebs/volume:Volume", f"{role}-data-volume")
    (found,) = ec2.describe_volumes(VolumeIds=[volume])["Volumes"]
    (machine,) = of_role(machines, role)
    assert found["Size"] == 20
    assert found["Encrypted"]
    assert found["AvailabilityZone"] == machine["Placement"]["AvailabilityZone"]
    assert task_of(deployment, f"{role}-template")["volume"]["id"] == volume


@pytest.mark.parametrize("name", ["control-plane-0", "control-plane-1", "database", "monitoring", "identity"])
class TestFixedMachines:
    def test_each_is_the_only_machine_of_its_group(self, deployment: Any, name: str) -> None:
        group = deployment.program.one(GROUP, f"{name}-group").inputs
        assert (group["minSize"], group["maxSize"], group["desiredCapacity"]) == (1, 1, 1)
        assert group["forceDelete"]
        assert len(group["vpcZoneIdentifiers"]) == 1

    def test_it_goes_before_its_successor_comes(self, deployment: Any, name: str) -> None:
        preferences = deployment.program.one(GROUP, f"{name}-group").inputs["instanceRefresh"]["preferences"]
        assert (preferences["minHealthyPercentage"], preferences["maxHealthyPercentage"]) == (0, 100)

    def test_only_control_planes_wait_for_each_other(self, deployment: Any, name: str) -> None:
        hooks = deployment.program.one(GROUP, f"{name}-group").inputs.get("initialLifecycleHooks", [])
        assert [hook["name"] for hook in hooks] == (["ready", "drain"] if name.startswith("control-plane") else [])

    def test_its_agent_claims_the_address_that_discovery_and_the_kernel_are_told(self, deployment: Any, name: str) -> None:
        tags = {tag["key"]: tag["value"] for tag in deployment.program.one(GROUP, f"{name}-group").inputs["tags"]}
        address = tags["mesh:address"]
        template = deployment.program.one(TEMPLATE, f"{name}-template")
        files = files_of(user_data_of(template))
        assert json.loads(files["/etc/mesh/agent.json"])["address"] == address
        assert f"MESH_ADDRESS={address}\n" in files["/etc/mesh/machine.env"]
        assert f"ip address replace {address}/32" in files["/etc/systemd/system/mesh.service"]


def test_machines_without_a_fixed_address_claim_none(deployment: Any) -> None:
    for name in ("edge-0", "service-1"):
        assert "mesh:address" not in {tag["key"] for tag in deployment.program.one(GROUP, f"{name}-group").inputs["tags"]}
        files = files_of(user_data_of(deployment.program.one(TEMPLATE, f"{name}-template")))
        assert "address" not in json.loads(files["/etc/mesh/agent.json"])
        assert "ip address" not in files["/etc/systemd/system/mesh.service"]


@pytest.mark.parametrize("edge", ["edge-0", "edge-1"])
class TestEdges:
    def test_each_is_the_only_machine_of_its_group(self, deployment: Any, edge: str) -> None:
        name = deployment.id_of(GROUP, f"{edge}-group")
        (group,) = deployment.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        assert (group["MinSize"], group["MaxSize"], len(group["Instances"])) == (1, 1, 1)
        hooks = deployment.client("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"]
        assert {hook["LifecycleHookName"] for hook in hooks} == {"ready", "drain"}

    def test_a_successor_comes_before_its_predecessor_goes(self, deployment: Any, edge: str) -> None:
        preferences = deployment.program.one(GROUP, f"{edge}-group").inputs["instanceRefresh"]["preferences"]
        assert (preferences["minHealthyPercentage"], preferences["maxHealthyPercentage"]) == (100, 200)

    def test_it_has_a_public_address_of_its_own_until_it_takes_the_elastic_one(self, deployment: Any, ec2: Any, edge: str) -> None:
        template = deployment.id_of(TEMPLATE, f"{edge}-template")
        (version,) = ec2.describe_launch_template_versions(LaunchTemplateId=template)["LaunchTemplateVersions"]
        data = version["LaunchTemplateData"]
        (interface,) = data["NetworkInterfaces"]
        assert interface["AssociatePublicIpAddress"]
        assert group_names(ec2, interface["Groups"]) == {"edge", "envoy", "machine"}
        assert "SecurityGroupIds" not in data

    def test_its_agent_takes_the_address_that_is_its_own(self, deployment: Any, edge: str) -> None:
        allocation = deployment.made["aws:ec2/eip:Eip", f"edge-address-{edge.removeprefix('edge-')}"][1]["allocationId"]
        assert task_of(deployment, f"{edge}-template")["allocation"] == allocation


class TestGroup:
    @pytest.fixture(scope="class")
    def group(self, deployment: Any) -> dict[str, Any]:
        name = deployment.id_of(GROUP, "service-1-group")
        (found,) = deployment.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        return dict(found)

    @pytest.fixture(scope="class")
    def declared(self, deployment: Any) -> Any:
        return deployment.program.one(GROUP, "service-1-group")

    def test_its_bounds_are_those_of_the_config(self, group: dict[str, Any]) -> None:
        assert (group["MinSize"], group["MaxSize"], group["DesiredCapacity"]) == (2, 6, 2)

    def test_it_spreads_over_the_private_subnets(self, group: dict[str, Any], deployment: Any) -> None:
        subnets = {deployment.id_of("aws:ec2/subnet:Subnet", f"network-private-eu-central-1{zone}") for zone in "ab"}
        assert set(group["VPCZoneIdentifier"].split(",")) == subnets
        assert {member["AvailabilityZone"] for member in group["Instances"]} == {"eu-central-1a", "eu-central-1b"}

    def test_it_names_a_version_of_its_template_by_number(self, group: dict[str, Any]) -> None:
        assert group["LaunchTemplate"]["Version"] == "1"

    def test_its_hooks_are_there_before_the_first_launch(self, declared: Any, deployment: Any, group: dict[str, Any]) -> None:
        name = group["AutoScalingGroupName"]
        hooks = deployment.client("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"]
        assert {hook["LifecycleHookName"]: hook["LifecycleTransition"] for hook in hooks} == {
            "ready": "autoscaling:EC2_INSTANCE_LAUNCHING",
            "drain": "autoscaling:EC2_INSTANCE_TERMINATING",
        }
        assert {(hook["HeartbeatTimeout"], hook["DefaultResult"]) for hook in hooks} == {(120, "CONTINUE")}
        assert len(declared.inputs["initialLifecycleHooks"]) == 2

    def test_a_refresh_never_has_fewer_than_the_wanted_machines(self, declared: Any) -> None:
        refresh = declared.inputs["instanceRefresh"]
        preferences = refresh["preferences"]
        assert refresh["strategy"] == "Rolling"
        assert (preferences["minHealthyPercentage"], preferences["maxHealthyPercentage"]) == (100, 150)

    def test_the_program_leaves_the_number_of_machines_alone(self, declared: Any) -> None:
        assert declared.ignore_changes == ("desiredCapacity",)

    def test_its_policy_tracks_the_processors(self, deployment: Any, group: dict[str, Any]) -> None:
        name = group["AutoScalingGroupName"]
        (policy,) = deployment.client("autoscaling").describe_policies(AutoScalingGroupName=name)["ScalingPolicies"]
        assert policy["PolicyType"] == "TargetTrackingScaling"

    def test_its_template_names_groups_and_profile_at_the_top(self, ec2: Any, deployment: Any) -> None:
        template = deployment.id_of(TEMPLATE, "service-1-template")
        (version,) = ec2.describe_launch_template_versions(LaunchTemplateId=template)["LaunchTemplateVersions"]
        data = version["LaunchTemplateData"]
        assert group_names(ec2, data["SecurityGroupIds"]) == {"service-service-1", "envoy", "machine"}
        assert "NetworkInterfaces" not in data
        assert data["IamInstanceProfile"]["Arn"]
        assert base64.b64decode(data["UserData"]).startswith(b"## template: jinja\n#cloud-config\n")


class TestIdentity:
    def policy_of(self, deployment: Any, name: str) -> list[dict[str, Any]]:
        iam = deployment.client("iam")
        role = deployment.id_of("aws:iam/role:Role", f"{name}-role")
        (policy,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
        document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
        statements: list[dict[str, Any]] = (json.loads(unquote(document)) if isinstance(document, str) else document)["Statement"]
        return statements

    def resources_of(self, deployment: Any, name: str, action: str) -> list[str]:
        return [resource for s in self.policy_of(deployment, name) if action in s["Action"] for resource in s["Resource"]]

    def test_a_service_reads_its_own_keys_and_password_and_nobody_elses(self, deployment: Any) -> None:
        prefix = "arn:aws:ssm:eu-central-1:*:parameter/envoy-mesh/dev/tls"
        assert self.resources_of(deployment, "service-service-1", "ssm:GetParameter") == [
            f"{prefix}/ca",
            f"{prefix}/service/service-1/certificate",
            f"{prefix}/service/service-1/key",
        ]
        assert self.resources_of(deployment, "service-service-1", "secretsmanager:GetSecretValue") == [
            "arn:aws:secretsmanager:eu-central-1:*:secret:/envoy-mesh/dev/database/service-1-??????"
        ]

    def test_only_control_planes_read_the_edges_certificate(self, deployment: Any) -> None:
        key = "arn:aws:ssm:eu-central-1:*:parameter/envoy-mesh/dev/edge-tls/key"
        readers = [
            name
            for name in ("edge", "control-plane", "database", "monitoring", "service-service-1")
            if key in self.resources_of(deployment, name, "ssm:GetParameter")
        ]
        assert readers == ["control-plane"]

    def test_only_control_planes_finish_lifecycle_actions(self, deployment: Any) -> None:
        for name in ("edge", "database", "monitoring", "service-service-1"):
            assert self.resources_of(deployment, name, "autoscaling:CompleteLifecycleAction") == []
        assert self.resources_of(deployment, "control-plane", "autoscaling:CompleteLifecycleAction")

    def test_a_machine_pulls_its_own_images_alone(self, deployment: Any) -> None:
        arns = {name: deployment.made["aws:ecr/repository:Repository", f"image-{name}"][1]["arn"] for name in ("agent", "http-service")}
        assert set(self.resources_of(deployment, "service-service-1", "ecr:BatchGetImage")) == set(arns.values())
        assert self.resources_of(deployment, "monitoring", "ecr:BatchGetImage") == [arns["agent"]]

    def test_no_machine_has_a_managed_policy(self, deployment: Any) -> None:
        iam = deployment.client("iam")
        for role in deployment.program.of("aws:iam/role:Role"):
            name = deployment.id_of("aws:iam/role:Role", role.name)
            assert iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"] == []
