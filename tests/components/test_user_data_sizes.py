"""What makes user data too large for EC2 is named with its place in the config; what fits is let through."""

import random
import string
from dataclasses import replace
from typing import Any

import pytest
import yaml

from components import machine_files, user_data, user_data_sizes
from components.user_data_sizes import FITS_ALWAYS, ROOM_BYTES, SPARE_BYTES
from model.problems import Problem
from model.read import read_mesh
from tests.components.test_user_data import BUILT, REPO, ROLES, StackFacts, facts_of

ROOT = "mesh"


def noise(length: int) -> str:
    """Text that hardly compresses, the same in every run."""
    return "".join(random.Random(length).choices(string.ascii_letters + string.digits, k=length))


def dev() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((REPO / "Pulumi.dev.yaml").read_text())["config"]["envoy-mesh:mesh"]
    return config


def problems_of(config: dict[str, Any]) -> list[Problem]:
    return list(user_data_sizes.problems(read_mesh(config), stack="dev", region="eu-central-1", root=ROOT))


def many_services(count: int, **settings: Any) -> dict[str, Any]:
    config = dev()
    for number in range(count):
        config["services"][f"s{number}-{noise(200 + number)[:20].lower()}"] = {"image": {"ref": "a:1"}, "port": 8080, **settings}
    return config


@pytest.mark.parametrize("stack", ["dev", "prod", "local"])
def test_the_stacks_of_the_repository_fit(stack: str) -> None:
    mesh = facts_of(stack).mesh
    assert list(user_data_sizes.problems(mesh, stack=stack, region="eu-central-1", root=ROOT)) == []


@pytest.mark.parametrize(
    ("key", "value", "fix"),
    [
        ("env", {"A": noise(20_000)}, "`secrets` names"),
        ("env", {f"V{number}": noise(1000 + number) for number in range(20)}, "a file of the image"),
        ("command", [noise(20_000)], "a script of the image"),
        ("secrets", {f"V{number}": f"/{noise(900 + number)}" for number in range(25)}, "hold several values"),
    ],
)
def test_what_is_too_long_of_a_service_is_named_with_its_size_and_a_fix(key: str, value: Any, fix: str) -> None:
    config = dev()
    config["services"]["service-2"][key] = value
    [problem] = problems_of(config)
    assert problem.path == f"mesh.services.service-2.{key}"
    assert problem.value.startswith("2"), "about 20,000 bytes"
    assert problem.value.endswith("bytes")
    assert "the user data of service/service-2 has" in problem.rule
    assert "of 16,384 that EC2 takes" in problem.rule
    assert fix in problem.fix


def test_what_is_too_short_to_be_rendered_for_the_check_fits_whatever_it_is() -> None:
    """The worst text there is: no repetition, every character escaped, a long name, a long domain, a database."""
    symbols = "".join(chr(random.Random(number).randrange(0x1F300, 0x1FAFF)) for number in range((FITS_ALWAYS - 40) // 12))
    for worst in (noise(FITS_ALWAYS - 40), symbols, "$" * (FITS_ALWAYS - 40)):
        config = dev()
        name = noise(28)[:28].lower()
        config["domain"] = ".".join(["x" + noise(60 + number).lower()[:60] for number in range(3)]) + ".internal"
        config["services"][f"s{name}"] = {
            "image": {"ref": f"{noise(250).lower()}@sha256:{'a' * 64}"},
            "port": 8080,
            "calls": ["postgres"],
            "env": {"A": worst},
        }
        mesh = read_mesh(config)
        assert sum(user_data_sizes._lengths(mesh.services[f"s{name}"]).values()) <= FITS_ALWAYS
        facts = StackFacts(stack="s" * 60, region="ap-southeast-2", mesh=mesh, control_planes=("10.20.24.4", "10.20.56.4"))
        assert len(user_data.render(machine_files.service(facts, f"s{name}", BUILT))) < ROOM_BYTES


def test_text_that_compresses_may_be_long() -> None:
    config = dev()
    config["services"]["service-1"]["env"] = {"SETTINGS": "level=info " * 5000}
    assert problems_of(config) == []


def test_a_database_of_too_many_callers_is_named() -> None:
    [problem] = problems_of(many_services(90, calls=["postgres"]))
    assert (problem.path, problem.value) == ("mesh.database", "93 services call postgres")


def test_too_many_services_with_metrics_are_named() -> None:
    config = many_services(200)
    for number, service in enumerate(config["services"].values()):
        if service.get("protocol", "http") == "http":
            service["metrics"] = f"/{noise(300 + number)[:60]}"
    [problem] = problems_of(config)
    assert problem.path == "mesh.services"
    assert "services with `metrics`, 0 regions" in problem.value
    assert "user data of monitoring/monitoring" in problem.rule


def test_too_many_audiences_of_the_builtin_issuer_are_named() -> None:
    config = dev()
    config["edge"]["auth"]["audiences"] = [noise(100 + number) for number in range(200)]
    [problem] = problems_of(config)
    assert problem.path == "mesh.edge.auth"
    assert problem.value.startswith("200 audiences")


@pytest.mark.parametrize("name", ROLES)
def test_stand_ins_are_as_large_as_real_values_but_for_what_is_kept_free(name: str) -> None:
    facts = facts_of("dev")
    stand_ins = user_data_sizes._stand_ins(facts)
    edges = facts.mesh.edge.instances
    rng = random.Random(1)
    real = replace(
        BUILT,
        agent=f"998877665544.dkr.ecr.eu-central-1.amazonaws.com/image-agent-{rng.randbytes(4).hex()[:7]}@sha256:{rng.randbytes(32).hex()}",
        app=f"998877665544.dkr.ecr.eu-central-1.amazonaws.com/image-http-service-0a1b2c3@sha256:{rng.randbytes(32).hex()}",
        certificate=rng.randbytes(8).hex(),
        redirects=" ".join(f"https://203.0.113.{number}/oauth2/callback" for number in range(edges + 1)),
    )
    sizes = [len(user_data.render(ROLES[name](facts, built))) for built in (stand_ins, real)]
    assert sizes[1] - sizes[0] < SPARE_BYTES // 2


def test_the_largest_env_that_is_let_through_is_rendered() -> None:
    """Between what the check takes and what EC2 refuses lies the spare room alone."""
    low, high = 6_000, 14_000
    while high - low > 50:
        length = (low + high) // 2
        config = dev()
        config["services"]["service-1"]["env"] = {"A": noise(length)}
        low, high = (length, high) if not problems_of(config) else (low, length)
    config = dev()
    config["services"]["service-1"]["env"] = {"A": noise(low)}
    facts = StackFacts(stack="dev", region="eu-central-1", mesh=read_mesh(config), control_planes=("10.20.24.4", "10.20.56.4"))
    assert ROOM_BYTES - 2 * SPARE_BYTES < len(user_data.render(ROLES["service"](facts, BUILT))) <= user_data.LIMIT_BYTES
