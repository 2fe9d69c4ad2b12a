"""The committed YAML is what the builders make of the stack files today."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from envoy_configs.render import COMMAND, GOLDENS, render, stacks
from model.edge import OuterSpec

RENDERED = {f"{stack}/{name}": text for stack, spec in stacks().items() for name, text in render(stack, spec).items()}


def test_every_stack_is_rendered() -> None:
    assert set(stacks()) == {"dev", "local", "prod"}
    assert {str(path.relative_to(GOLDENS)) for path in GOLDENS.glob("*/*.yaml")} == set(RENDERED)


@pytest.mark.parametrize("name", RENDERED)
def test_the_committed_file_is_what_would_be_made_today(name: str) -> None:
    """Acceptance 199."""
    assert (GOLDENS / name).read_text() == RENDERED[name], f"run `{COMMAND}`, read the difference, commit it"


def test_outer_edges_are_one_file_however_many_regions_there_are() -> None:
    spec = stacks()["dev"]
    regions = [{"region": region, "cidr": cidr} for region, cidr in (("us-east-1", "10.98.0.0/16"), ("ap-south-1", "10.99.0.0/16"))]
    outer = [OuterSpec.model_validate(region) for region in regions]
    files = render("dev", spec.model_copy(update={"edge": spec.edge.model_copy(update={"outer": outer})}))
    document: Any = yaml.safe_load(files["outer-edge.yaml"])
    assert document["bootstrap"]["node"]["id"] == "outer-edge/us-east-1/${MESH_INSTANCE_ID}"
    assert {listener["address"]["socket_address"]["address"] for listener in document["listeners"]} == {"10.98.1.1", "127.0.0.1"}
    assert "edge-origin" in files["edge.yaml"]


def test_another_process_makes_the_same_bytes() -> None:
    command = [sys.executable, "-m", "envoy_configs.render", "--check"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=GOLDENS.parent, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (0, "")


def test_no_key_is_in_the_committed_files() -> None:
    assert not [name for name, text in RENDERED.items() if "BEGIN" in text]


def test_a_stack_file_without_a_mesh_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.other.yaml").write_text("config: {aws:region: eu-central-1}\n")
    assert stacks(tmp_path) == {}


def test_a_local_machine_has_one_address_for_both_facts() -> None:
    document: Any = yaml.safe_load(RENDERED["local/service-1.yaml"])
    addresses = {listener["address"]["socket_address"]["address"] for listener in document["listeners"]}
    assert len(addresses) == 1
