"""User data: what each role boots from, readable as goldens, and within EC2's and cloud-init's rules."""

import base64
import gzip
import json
import os
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from apps.agent.config import AgentConfig
from components import identity_files, machine_files, user_data
from components.machine_files import Built, StackFacts
from model.contract import TEMPLATE_DIR
from model.read import read_mesh

REPO = Path(__file__).resolve().parents[2]
GOLDENS = Path(__file__).parent / "goldens"
FACTS = {
    "v1.instance_id": "i-0123456789abcdef0",
    "ds.meta_data.local_ipv4": "10.20.0.7",
    "v1.availability_zone": "eu-central-1a",
}
REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
BUILT = Built(
    agent=f"{REGISTRY}/agent@sha256:{'a' * 64}",
    app=f"{REGISTRY}/app@sha256:{'b' * 64}",
    bucket="mesh-bucket",
    allocation="eipalloc-0123456789abcdef0",
    public_ip="203.0.113.7",
    address="10.20.24.12",
    volume="vol-0123456789abcdef0",
    redirects="https://dev.mesh.internal/oauth2/callback https://203.0.113.7/oauth2/callback",
    certificate="0123456789abcdef",
)
ROLES: dict[str, Any] = {
    "edge": machine_files.edge,
    "service": lambda facts, built: machine_files.service(facts, "service-1", built),
    "control-plane": machine_files.control_plane,
    "database": machine_files.database,
    "monitoring": machine_files.monitoring,
    "identity": identity_files.identity,
}


def facts_of(stack: str) -> StackFacts:
    config = yaml.safe_load((REPO / f"Pulumi.{stack}.yaml").read_text())["config"]
    mesh = read_mesh(config["envoy-mesh:mesh"], local=stack == "local")
    return StackFacts(stack=stack, region="eu-central-1", mesh=mesh, control_planes=("10.20.24.4", "10.20.56.4"))


def rendered(role: str, stack: str = "dev") -> str:
    return user_data.render(ROLES[role](facts_of(stack), BUILT))


def boot(text: str) -> dict[str, str]:
    """The files that cloud-init would write, by path."""
    for name, value in FACTS.items():
        text = text.replace("{{ " + name + " }}", value)
    config = yaml.safe_load(text)
    files = {}
    for entry in config["write_files"]:
        content = entry["content"]
        files[entry["path"]] = gzip.decompress(base64.b64decode(content)).decode() if entry.get("encoding") == "gz+b64" else content
    return files


@pytest.fixture(params=ROLES)
def role(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("stack", ["dev", "local", "prod"])
def test_user_data_is_within_ec2s_limit(role: str, stack: str) -> None:
    if (role, stack) != ("identity", "prod"):  # Production has no issuer of its own.
        assert len(rendered(role, stack).encode()) <= user_data.LIMIT_BYTES


def test_it_is_a_cloud_config_behind_the_template_line(role: str) -> None:
    lines = rendered(role).splitlines()
    assert lines[:2] == ["## template: jinja", "#cloud-config"]
    assert set(yaml.safe_load(rendered(role))) == {"package_update", "packages", "write_files", "runcmd"}


def test_a_renewed_certificate_is_new_user_data(role: str) -> None:
    renewed = user_data.render(ROLES[role](facts_of("dev"), replace(BUILT, certificate="fedcba9876543210")))
    assert (renewed == rendered(role)) is (role in ("monitoring", "identity")), "they have no mesh certificate"
    assert renewed.replace("fedcba9876543210", "0123456789abcdef") == rendered(role)


def test_braces_stand_in_machine_env_alone(role: str) -> None:
    text = rendered(role)
    known = set(FACTS) if role in ("edge", "service") else set(FACTS) - {"ds.meta_data.local_ipv4"}
    assert set(re.findall(r"\{\{ ([\w.]+) \}\}", text)) == known
    entries = yaml.safe_load(text)["write_files"]
    assert [entry["path"] for entry in entries if "{{" in entry["content"]] == ["/etc/mesh/machine.env"]
    assert [entry["path"] for entry in entries if "encoding" not in entry] == ["/etc/mesh/machine.env"]
    assert not re.search(r"\{%|\{#", text)


def test_the_same_machine_has_the_same_user_data(role: str) -> None:
    assert rendered(role) == rendered(role)


def test_a_machine_boots_the_files_of_its_golden(role: str) -> None:
    """`UPDATE_GOLDENS=1 pytest tests/components` writes them anew."""
    files = boot(rendered(role))
    text = "".join(f"─── {path}\n{content.rstrip()}\n\n" for path, content in files.items() if not path.endswith("templates/envoy.yaml"))
    golden = GOLDENS / f"{role}.txt"
    if os.environ.get("UPDATE_GOLDENS"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


def test_the_agent_accepts_its_task(role: str) -> None:
    AgentConfig.model_validate_json(boot(rendered(role))["/etc/mesh/agent.json"])


def test_what_the_role_may_read_is_what_its_agent_reads(role: str) -> None:
    known, unknown = (machine_files.reads(ROLES[role](facts_of("dev"), built)) for built in (BUILT, Built()))
    assert known == unknown
    task = json.loads(boot(rendered(role))["/etc/mesh/agent.json"])
    named = {name for part in ("files", "environment") for source in task.get(part, {}).values() for name in source.values()}
    assert named == {*known.parameters, *known.secrets}


def test_containers_are_confined(role: str) -> None:
    for name, service in yaml.safe_load(boot(rendered(role))["/etc/mesh/compose.yaml"])["services"].items():
        assert service["network_mode"] == "host"
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["logging"]["driver"] == "awslogs"
        assert service.get("privileged", False) is (role in ("database", "monitoring") and name == "prepare")


def test_everything_waits_for_the_agent(role: str) -> None:
    services = yaml.safe_load(boot(rendered(role))["/etc/mesh/compose.yaml"])["services"]
    for name, service in services.items():
        if name != "prepare":
            assert service["depends_on"]["prepare"] == {"condition": "service_completed_successfully"}


def test_an_app_is_stopped_before_its_sidecar() -> None:
    """Compose stops what depends on a service before it: answers and goodbyes of the app still get out."""
    services = yaml.safe_load(boot(rendered("service"))["/etc/mesh/compose.yaml"])["services"]
    assert services["app"]["depends_on"]["envoy"] == {"condition": "service_started"}


def test_every_placeholder_is_a_fact_of_the_machine(role: str) -> None:
    files = boot(rendered(role))
    known = {line.split("=")[0] for line in files["/etc/mesh/machine.env"].splitlines()} | {"MESH_ROOT"}
    compose = files["/etc/mesh/compose.yaml"]
    given = {name for service in yaml.safe_load(compose)["services"].values() for name in service.get("environment", {})}
    used = {name for path, text in files.items() if path.startswith(TEMPLATE_DIR) for name in re.findall(r"\$\{(MESH_\w+)\}", text)}
    assert used <= known | given
    assert set(re.findall(r"\$\{(\w+)\}", compose)) <= known


def test_no_literal_address_but_the_fixed_ones(role: str) -> None:
    text = "".join(content for path, content in boot(rendered(role)).items() if path != "/etc/mesh/machine.env")
    addresses = set(re.findall(r"\b\d{1,3}(?:\.\d{1,3}){3}\b", text))
    # The edges' public addresses are part of the built-in issuer's task: logins return there.
    own = set() if role in ("edge", "service") else {BUILT.address}
    assert addresses - {"203.0.113.7"} <= {"10.20.24.4", "10.20.56.4", *own}
    assert own <= addresses


def test_no_secret_is_in_it(role: str) -> None:
    text = "".join(boot(rendered(role)).values())
    assert not re.search(r"PRIVATE KEY|BEGIN CERTIFICATE|AKIA[0-9A-Z]{16}", text)
    assert not re.search(r"(?i)(password|secret)\w*[=:]\s*['\"]?[A-Za-z0-9]{16,}", text)


def test_docker_asks_ecr_for_the_registries_in_use_alone() -> None:
    assert json.loads(boot(rendered("edge"))["/etc/mesh/docker/config.json"]) == {"credHelpers": {REGISTRY: "ecr-login"}}


def test_the_unit_refuses_a_fact_that_cloud_init_did_not_know(role: str) -> None:
    unit = boot(rendered(role))["/etc/systemd/system/mesh.service"]
    first = next(line for line in unit.splitlines() if line.startswith("ExecStartPre="))
    assert first == "ExecStartPre=/bin/sh -c '! grep -q CI_MISSING_JINJA_VAR /etc/mesh/machine.env'"


def test_only_the_edge_lowers_the_first_unprivileged_port() -> None:
    lowered = [role for role in ROLES if "ip_unprivileged_port_start=80" in boot(rendered(role))["/etc/systemd/system/mesh.service"]]
    assert lowered == ["edge"]


def test_a_local_machine_differs_in_its_loopback_its_labels_and_the_way_to_ec2_alone() -> None:
    for role in ROLES:
        here, there = boot(rendered(role, "local")), boot(rendered(role, "dev"))
        address = "10.20.0.7" if role in ("edge", "service") else BUILT.address
        assert f"MESH_LOOPBACK={address}\n" in here.pop("/etc/mesh/machine.env")
        assert "MESH_LOOPBACK=127.0.0.1" in there.pop("/etc/mesh/machine.env")
        compose = yaml.safe_load(here.pop("/etc/mesh/compose.yaml"))
        for service in compose["services"].values():
            service.get("labels", {}).pop("envoy-mesh.local.command", None)
            if service["environment"].get("MESH_EC2_ENDPOINT"):
                assert "amazonaws" not in service["environment"]["MESH_EC2_ENDPOINT"]
                service["environment"]["MESH_EC2_ENDPOINT"] = "${AWS_ENDPOINT_URL:-https://ec2.eu-central-1.amazonaws.com}"
            if service.get("labels") == {}:
                del service["labels"]
        there_compose = there.pop("/etc/mesh/compose.yaml")
        assert yaml.safe_dump(compose).replace("/envoy-mesh/local/", "/envoy-mesh/dev/").replace(
            "local.mesh.internal:8443", "dev.mesh.internal"
        ).replace("local.mesh.internal", "dev.mesh.internal").replace("MESH_STACK: local", "MESH_STACK: dev") == yaml.safe_dump(
            yaml.safe_load(there_compose)
        )


def test_a_dollar_sign_in_an_apps_variable_stays_one() -> None:
    facts = facts_of("dev")
    data = facts.mesh.document()
    data["services"]["service-1"]["env"] = {"PRICE": "$5 ${HOME}"}
    changed = StackFacts(stack="dev", region="eu-central-1", mesh=read_mesh(data), control_planes=facts.control_planes)
    compose = yaml.safe_load(boot(user_data.render(machine_files.service(changed, "service-1", BUILT)))["/etc/mesh/compose.yaml"])
    assert compose["services"]["app"]["environment"]["PRICE"] == "$$5 $${HOME}"


@pytest.mark.parametrize("name", ["API_KEY", "http_proxy", "_Key1"])
def test_the_agent_takes_every_name_of_a_secret_that_the_config_takes(name: str) -> None:
    data = facts_of("dev").mesh.document()
    data["services"]["service-1"]["secrets"] = {name: "/team/key"}
    facts = StackFacts(stack="dev", region="eu-central-1", mesh=read_mesh(data), control_planes=("10.20.24.4",))
    files = boot(user_data.render(machine_files.service(facts, "service-1", BUILT)))
    assert name in AgentConfig.model_validate_json(files["/etc/mesh/agent.json"]).environment


def test_user_data_beyond_the_limit_is_refused_with_the_machines_service() -> None:
    noise = base64.b64encode(os.urandom(20_000)).decode()
    files = user_data.MachineFiles(machine="service/web", compose={"services": {}}, agent={}, templates={"big.yaml": noise})
    with pytest.raises(ValueError, match=r"the user data of service/web has \d+ bytes, EC2 takes 16384"):
        user_data.render(files)


def test_the_edges_address_is_in_its_bootstrap_only_where_machines_share_a_host() -> None:
    assert "203.0.113.7" not in boot(rendered("edge", "dev"))["/etc/mesh/templates/envoy.yaml"]
    assert "203.0.113.7" in boot(rendered("edge", "local"))["/etc/mesh/templates/envoy.yaml"]


def test_a_machine_without_a_control_plane_is_refused() -> None:
    facts = StackFacts(stack="dev", region="eu-central-1", mesh=facts_of("dev").mesh, control_planes=())
    with pytest.raises(ValueError, match="no control plane"):
        partial(machine_files.edge, facts)(BUILT)


def test_the_issuer_is_told_how_long_tokens_last_where_the_config_says_so() -> None:
    config = yaml.safe_load((REPO / "Pulumi.local.yaml").read_text())["config"]["envoy-mesh:mesh"]
    config["edge"]["auth"]["tokenLife"] = "5m"
    set_to = identity_files.identity(replace(facts_of("local"), mesh=read_mesh(config, local=True)), BUILT)
    plain = identity_files.identity(facts_of("local"), BUILT)
    assert set_to.compose["services"]["identity"]["environment"]["IDENTITY_TOKEN_SECONDS"] == "300"
    assert "IDENTITY_TOKEN_SECONDS" not in plain.compose["services"]["identity"]["environment"]
