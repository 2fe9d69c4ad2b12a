"""The whole program under every stack, and what stops it before the first resource."""

import json
import random
import string
from base64 import b64decode
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from docs import costs_page
from model.contract import PROJECT
from model.http_rules import services_of
from settings import KEYS
from tests.components.conftest import REPO

PLACEHOLDER = "@sha256:" + "0" * 64
DIGEST = "@sha256:" + "1" * 64


def deployable(config: dict[str, Any]) -> dict[str, Any]:
    """The prod stack as it is once its images are locked."""
    images = config["envoy-mesh:mesh"]["machines"]["images"]
    config["envoy-mesh:mesh"]["machines"]["images"] = {name: ref.replace(PLACEHOLDER, DIGEST) for name, ref in images.items()}
    return config


@pytest.fixture(scope="module")
def prod(run: Callable[..., Any], configs: Callable[[str], dict[str, Any]]) -> Any:
    return run(deployable(configs("prod")), stack="prod")


@pytest.fixture(scope="module")
def local(run: Callable[..., Any], configs: Callable[[str], dict[str, Any]]) -> Any:
    return run(configs("local"), stack="local")


def counted(program: Any) -> Counter[str]:
    return Counter(resource.type for resource in program.resources)


def test_the_local_stack_declares_the_same_resources_as_dev_but_for_its_outer_edge(dev: Any, local: Any) -> None:
    def shape(program: Any) -> Counter[tuple[str, str]]:
        return Counter((r.type, r.name.replace("8443", "443").replace("8080", "80")) for r in program.resources)

    more = shape(local) - shape(dev)
    assert not shape(dev) - shape(local)
    assert [name for name in more if "outer-" not in name[1] and "us-east-1" not in name[1]] == []


def test_prod_spreads_over_three_zones_with_a_gateway_each(prod: Any) -> None:
    assert counted(prod)["aws:ec2/subnet:Subnet"] == 9
    assert counted(prod)["aws:ec2/natGateway:NatGateway"] == 3
    zones = {subnet.inputs["availabilityZone"] for subnet in prod.of("aws:ec2/subnet:Subnet")}
    assert zones == {"eu-central-1a", "eu-central-1b", "eu-central-1c"}


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_the_costs_page_and_the_guide_count_the_machines_that_the_program_declares(stack: str, dev: Any, prod: Any) -> None:
    program = {"dev": dev, "prod": prod}[stack]
    groups = program.of("aws:autoscaling/group:Group")
    templates = {item.name: item.inputs["instanceType"] for item in program.of("aws:ec2/launchTemplate:LaunchTemplate")}
    declared: Counter[str] = Counter()
    for group in groups:
        declared[templates[f"{group.name.removesuffix('-group')}-template"]] += int(group.inputs["desiredCapacity"])
    assert costs_page.machines(costs_page.read_stack(stack)) == declared
    assert f"| `{stack}` | {declared.total()} |" in (REPO / "docs" / "costs.md").read_text()
    guide = (REPO / "docs" / "deploy.md").read_text()
    [row] = [line for line in guide.splitlines() if line.startswith("| fewest machines |")]
    assert row.split("|")[["dev", "prod"].index(stack) + 2].strip() == str(declared.total())


def test_the_costs_page_counts_the_images_that_the_program_builds(dev: Any) -> None:
    lines = {item.what: item.count for item in costs_page.bill(costs_page.read_stack("dev"), costs_page.read_prices())}
    repositories = len(dev.of("aws:ecr/repository:Repository"))
    assert lines["*assumed:* GB of our images in ECR"] == repositories * costs_page.read_prices().assumptions["image_gb"]


def test_prod_protects_what_holds_data(prod: Any, dev: Any) -> None:
    protected = {resource.name for resource in prod.resources if resource.protect}
    assert protected == {"database-data-volume", "monitoring-data-volume", "document-bucket"}
    assert not [resource for resource in dev.resources if resource.protect]
    assert {bucket.inputs["forceDestroy"] for bucket in prod.of("aws:s3/bucket:Bucket")} == {False}
    assert {repository.inputs["forceDelete"] for repository in prod.of("aws:ecr/repository:Repository")} == {False}
    assert {secret.inputs["recoveryWindowInDays"] for secret in prod.of("aws:secretsmanager/secret:Secret")} == {7}


def test_without_nat_every_api_that_machines_call_has_an_endpoint(unrouted: Any) -> None:
    endpoints = [endpoint.inputs for endpoint in unrouted.of("aws:ec2/vpcEndpoint:VpcEndpoint")]
    names = {endpoint["serviceName"].removeprefix("com.amazonaws.eu-central-1.") for endpoint in endpoints}
    assert names == {
        *("ecr.api", "ecr.dkr", "ssm", "ssmmessages", "ec2messages", "ec2", "autoscaling"),
        *("secretsmanager", "logs", "monitoring", "sts", "s3"),
    }
    assert all(endpoint["privateDnsEnabled"] for endpoint in endpoints if endpoint["vpcEndpointType"] == "Interface")
    assert unrouted.of("aws:ec2/natGateway:NatGateway") == []


def test_a_public_zone_gets_the_edges_addresses(unrouted: Any) -> None:
    record = unrouted.one("aws:route53/record:Record", "public-dns-dev.mesh.internal")
    assert record.inputs["records"] == ["publicIp-of-edge-address-0", "publicIp-of-edge-address-1"]


def test_a_mesh_without_a_database_has_none_of_its_parts(run: Callable[..., Any], configs: Callable[[str], dict[str, Any]]) -> None:
    config = configs("dev")
    mesh = config["envoy-mesh:mesh"]
    del mesh["database"]
    for service in mesh["services"].values():
        service["calls"] = [callee for callee in service.get("calls", []) if callee != "postgres"]
    program = run(config)
    assert not [resource.name for resource in program.resources if "database" in resource.name or "postgres" in resource.name]
    assert "database" not in program.stack_outputs


def test_a_preview_knows_every_resource(run: Callable[..., Any], configs: Callable[[str], dict[str, Any]], prod: Any) -> None:
    program = run(configs("prod"), stack="prod", preview=True)
    assert {(r.type, r.name) for r in program.resources} == {(r.type, r.name) for r in prod.resources}


def test_the_outputs_are_those_that_people_and_tools_read(dev: Any) -> None:
    outputs = dev.stack_outputs
    assert set(outputs) == {
        "edgeUrls",
        "edgeAddresses",
        "outerEdgeUrls",
        "caCertificate",
        "controlPlane",
        "database",
        "document",
        "monitoring",
        "services",
        "vpcId",
    }
    assert outputs["edgeUrls"] == ["https://publicIp-of-edge-address-0", "https://publicIp-of-edge-address-1"]
    assert outputs["controlPlane"]["addresses"] == ["10.20.24.4", "10.20.56.4"]
    assert outputs["database"]["address"] == "10.20.24.12"
    assert outputs["services"]["service-1"]["prefix"] == "/service-1"
    assert "prefix" not in outputs["services"]["grpc-1"]


def test_a_port_other_than_443_is_in_the_urls(local: Any) -> None:
    assert all(url.endswith(":8443") for url in local.stack_outputs["edgeUrls"])


def test_a_changed_route_changes_the_document_and_nothing_else(
    run: Callable[..., Any], configs: Callable[[str], dict[str, Any]], dev: Any
) -> None:
    config = configs("dev")
    config["envoy-mesh:mesh"]["services"]["service-1"]["routes"] = [{"prefix": "/other"}]
    before = {(r.type, r.name): r.inputs for r in dev.resources}
    after = {(r.type, r.name): r.inputs for r in run(config).resources}
    assert {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} == {
        ("aws:s3/bucketObjectv2:BucketObjectv2", "document-mesh")
    }


def test_the_document_carries_the_compiled_protos_of_bridges(dev: Any, prod: Any) -> None:
    def descriptors(program: Any) -> dict[str, str]:
        [document] = [item for item in program.of("aws:s3/bucketObjectv2:BucketObjectv2") if item.name == "document-mesh"]
        found: dict[str, str] = json.loads(document.inputs["content"])["descriptors"]
        return found

    assert services_of(b64decode(descriptors(dev)["grpc-1"])) == ["mesh.info.v1.Info"]
    assert descriptors(prod) == {}


def test_a_further_service_touches_no_machine_but_its_own(
    run: Callable[..., Any], configs: Callable[[str], dict[str, Any]], dev: Any
) -> None:
    config = configs("dev")
    config["envoy-mesh:mesh"]["services"]["httpbin"] = {
        "image": {"ref": "kennethreitz/httpbin:1.0"},
        "port": 8080,
        "routes": [{"prefix": "/httpbin"}],
    }
    before = {(r.type, r.name): r.inputs for r in dev.resources}
    after = {(r.type, r.name): r.inputs for r in run(config).resources}
    changed = {name for name in before if before[name] != after.get(name)}
    assert changed == {("aws:s3/bucketObjectv2:BucketObjectv2", "document-mesh")}


def test_a_further_zone_replaces_no_subnet(run: Callable[..., Any], configs: Callable[[str], dict[str, Any]], dev: Any) -> None:
    config = configs("dev")
    config["envoy-mesh:mesh"]["network"]["zones"] = 3
    after = {subnet.name: subnet.inputs for subnet in run(config).of("aws:ec2/subnet:Subnet")}
    assert all(after[subnet.name] == subnet.inputs for subnet in dev.of("aws:ec2/subnet:Subnet"))
    assert len(after) == 9


class TestMistakes:
    @pytest.fixture
    def refused(
        self, run: Callable[..., Any], configs: Callable[[str], dict[str, Any]], caplog: pytest.LogCaptureFixture, monkeypatch: Any
    ) -> Callable[..., str]:
        """Runs the program with a changed config; returns what it says when it ends before the first resource."""

        def run_refused(change: Callable[[dict[str, Any]], object], *, stack: str = "dev", preview: bool = False) -> str:
            said: list[str] = []
            monkeypatch.setattr("pulumi.log.error", lambda message, *_, **__: said.append(message))
            made: list[str] = []
            monkeypatch.setattr("components.network.Network.__init__", lambda *_, **__: made.append("network"))
            config = configs(stack)
            change(config)
            with pytest.raises(SystemExit) as ended:
                run(config, stack=stack, preview=preview)
            assert ended.value.code == 1
            assert made == []
            return "\n".join(said)

        return run_refused

    def test_all_mistakes_come_at_once(self, refused: Callable[..., str]) -> None:
        def change(config: dict[str, Any]) -> None:
            mesh = config["envoy-mesh:mesh"]
            mesh["services"]["service-1"]["replicas"] = {"min": 5, "max": 2}
            mesh["domain"] = "x"
            config["envoy-mesh:zoneNames"] = [1]
            del config["aws:region"]

        said = refused(change)
        assert said.startswith("4 mistakes in the stack config:")
        for place in ("services.service-1.replicas", "envoy-mesh:mesh.domain", "envoy-mesh:zoneNames", "aws:region"):
            assert place in said

    def test_a_bridge_whose_proto_cannot_be_compiled_is_named_with_protocs_reason(self, refused: Callable[..., str]) -> None:
        bridge = {"prefix": "/grpc-1", "proto": "apps/protos/nothing.proto"}
        said = refused(lambda config: config["envoy-mesh:mesh"]["services"]["grpc-1"].update(bridge=bridge), preview=True)
        place = "envoy-mesh:mesh.services.grpc-1.bridge.proto"
        assert f"{place} = 'apps/protos/nothing.proto': there is no such file in the repository. Fix: mend the proto" in said

    def test_a_build_without_a_dockerfile_is_named(self, refused: Callable[..., str]) -> None:
        said = refused(lambda config: config["envoy-mesh:mesh"]["services"]["service-1"].update(image={"build": "docs"}), preview=True)
        assert "envoy-mesh:mesh.services.service-1.image.build = 'docs': the directory has no Dockerfile. Fix: name" in said

    def test_variables_that_user_data_has_no_room_for_are_named(self, refused: Callable[..., str]) -> None:
        words = "".join(random.Random(1).choices(string.ascii_letters, k=20_000))
        said = refused(lambda config: config["envoy-mesh:mesh"]["services"]["service-1"].update(env={"WORDS": words}), preview=True)
        assert "envoy-mesh:mesh.services.service-1.env = 20,013 bytes: with it the user data of service/service-1 has" in said

    def test_a_missing_mesh_is_named(self, refused: Callable[..., str]) -> None:
        assert "envoy-mesh:mesh = (not set): a mesh is a mapping" in refused(lambda config: config.pop("envoy-mesh:mesh"))

    def test_text_in_place_of_the_mesh_is_refused(self, refused: Callable[..., str]) -> None:
        assert "a mesh is a mapping" in refused(lambda config: config.update({"envoy-mesh:mesh": "hello: world"}))

    def test_loopback_on_aws_is_refused(self, refused: Callable[..., str]) -> None:
        said = refused(lambda config: config["envoy-mesh:mesh"]["network"].update(cidr="127.20.0.0/16"))
        assert "no VPC on AWS can have it" in said

    def test_a_local_stack_outside_loopback_is_refused(self, refused: Callable[..., str]) -> None:
        said = refused(lambda config: config["envoy-mesh:mesh"]["network"].update(cidr="10.20.0.0/16"), stack="local")
        assert "a local stack's machines live on loopback" in said

    def test_too_many_services_for_the_edges_group_are_refused_by_name(self, refused: Callable[..., str]) -> None:
        def change(config: dict[str, Any]) -> None:
            image = {"build": "apps/http_service"}
            for number in range(60):
                services = config["envoy-mesh:mesh"]["services"]
                services[f"more-{number}"] = {"image": image, "port": 8080, "routes": [{"prefix": f"/more-{number}"}]}

        assert "security group 'edge' needs 64 rules out, the quota is 60" in refused(change)

    @pytest.mark.parametrize(
        ("zones", "rule"),
        [
            (["eu-central-1a"], "2 zones, each named once"),
            (["eu-central-1a", "eu-central-1a"], "2 zones, each named once"),
            (["eu-central-1a", "us-east-1b"], "names of eu-central-1's zones"),
            ("eu-central-1a", "names of eu-central-1's zones"),
        ],
    )
    def test_zone_names_must_be_the_regions_and_as_many_as_the_mesh_has(
        self, refused: Callable[..., str], zones: object, rule: str
    ) -> None:
        assert rule in refused(lambda config: config.update({"envoy-mesh:zoneNames": json.dumps(zones)}))

    @pytest.mark.parametrize("text", ["abc", "", "eu-central-1a, eu-central-1b", "5", "[5, 6]", "[[]]"])
    def test_zone_names_are_a_list(self, refused: Callable[..., str], text: str) -> None:
        said = refused(lambda config: config.update({"envoy-mesh:zoneNames": text}))
        assert "this is a list of names of eu-central-1's zones. Fix: write for example [eu-central-1a, eu-central-1b]" in said

    @pytest.mark.parametrize("text", ["maybe", "[1]", "", "1"])
    def test_local_is_true_or_false(self, refused: Callable[..., str], text: str) -> None:
        said = refused(lambda config: config.update({"envoy-mesh:local": text}))
        assert said.startswith(f"1 mistake in the stack config:\n  envoy-mesh:local = {text!r}: this is true or false")

    @pytest.mark.parametrize(
        ("region", "rule"),
        [
            ("", "a stack lies in one region"),
            ("5", "an area, a direction and a number"),
            (["a"], "an area, a direction and a number"),
            ("eu central", "an area, a direction and a number"),
            ("eu-central-1a", "without a zone's letter"),
            ("cn-north-1", "do not begin with arn:aws:"),
            ("us-gov-west-1", "do not begin with arn:aws:"),
            ("eusc-de-east-1", "do not begin with arn:aws:"),
        ],
    )
    def test_a_region_is_one_of_the_partition_that_policies_name(self, refused: Callable[..., str], region: object, rule: str) -> None:
        said = refused(lambda config: config.update({"aws:region": region}))
        assert said.startswith("1 mistake in the stack config:")
        assert "aws:region = " in said
        assert rule in said

    @pytest.mark.parametrize(
        ("key", "fix"),
        [("mehs", "did you mean 'mesh'?"), ("zoneName", "did you mean 'zoneNames'?"), ("xyzzy", "use one of: local, mesh, publicZone")],
    )
    def test_a_key_of_the_projects_namespace_that_nobody_reads_is_refused(self, refused: Callable[..., str], key: str, fix: str) -> None:
        said = refused(lambda config: config.update({f"envoy-mesh:{key}": "x", "aws:profile": "mine", "docker:host": "ssh://a"}))
        assert said.startswith("1 mistake in the stack config:")
        assert f"envoy-mesh:{key} = 'x': this key is not known here" in said
        assert fix in said

    def test_such_a_key_is_refused_also_where_the_engine_passes_the_config_by_the_environment(
        self, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PULUMI_CONFIG", json.dumps({"envoy-mesh:publicZne": "Z0123456789ABCDEFGHIJ", "aws:region": "eu-central-1"}))
        assert "did you mean 'publicZone'?" in refused(lambda config: None)

    def test_the_keys_that_are_read_are_those_that_the_project_declares(self) -> None:
        declared = yaml.safe_load((REPO / "Pulumi.yaml").read_text())["config"]
        assert {f"{PROJECT}:{key}" for key in KEYS} == set(declared)

    def test_zones_are_not_counted_for_a_mesh_that_could_not_be_read(self, refused: Callable[..., str]) -> None:
        def change(config: dict[str, Any]) -> None:
            config["envoy-mesh:zoneNames"] = ["eu-central-1b", "eu-central-1c"]
            config["envoy-mesh:mesh"]["domain"] = "x"

        assert refused(change).startswith("1 mistake in the stack config:")

    def test_a_public_zone_is_named_by_its_id(self, refused: Callable[..., str]) -> None:
        said = refused(lambda config: config.update({"envoy-mesh:publicZone": "example.com"}))
        assert "a hosted zone's id is Z and capital letters and digits" in said

    def test_production_deploys_no_placeholder_for_a_digest(self, refused: Callable[..., str]) -> None:
        said = refused(lambda config: None, stack="prod")
        assert said.count("this digest is a placeholder") == 5
        assert "docker buildx imagetools inspect envoyproxy/envoy:<tag>" in said

    def test_production_keeps_its_state_under_a_kms_key(
        self, refused: Callable[..., str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("settings.PROJECT_DIRECTORY", tmp_path)
        said = refused(deployable, stack="prod")
        assert "secretsprovider = (not set): production keeps the secrets in the stack's state under a KMS key" in said
        (tmp_path / "Pulumi.prod.yaml").write_text("secretsprovider: passphrase\n")
        assert "secretsprovider = 'passphrase'" in refused(deployable, stack="prod")
