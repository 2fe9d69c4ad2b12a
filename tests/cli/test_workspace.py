"""The stack's files as the engine gets them."""

from ipaddress import IPv4Network
from pathlib import Path

import pytest
import yaml

from cli.exits import Exit, Stop
from cli.workspace import lay_out, localized, read_stack_file

STACK = """
secretsprovider: awskms://alias/mesh
config:
  aws:region: eu-west-1
  envoy-mesh:mesh:
    network: {cidr: 10.20.0.0/16, zones: 2}
    machines: {images: {envoy: "1.40"}}
"""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.yaml").write_text("name: envoy-mesh\nruntime: python\n")
    (tmp_path / "Pulumi.dev.yaml").write_text(STACK)
    return tmp_path


def test_a_stack_runs_here_on_loopback_and_without_a_kms_key(repo: Path) -> None:
    file = localized(read_stack_file(repo, "dev"), IPv4Network("127.9.0.0/16"))
    lay_out(repo, file, repo / "workspace")
    written = yaml.safe_load((repo / "workspace" / "Pulumi.dev.yaml").read_text())
    assert written == {
        "config": {
            "aws:region": "eu-west-1",
            "envoy-mesh:local": True,
            "envoy-mesh:mesh": {"network": {"cidr": "127.9.0.0/17", "zones": 2}, "machines": {"images": {"envoy": "1.40"}}},
        }
    }


def test_outer_regions_get_pieces_of_the_upper_half_and_elastic_addresses_keep_the_last_one(repo: Path) -> None:
    outer = [{"region": f"eu-west-{number}", "cidr": "10.0.0.0/20"} for number in range(1, 8)]
    mesh = {"network": {"cidr": "10.20.0.0/16"}, "edge": {"outer": outer}}
    (repo / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": {"envoy-mesh:mesh": mesh}}))
    placed = localized(read_stack_file(repo, "dev"), IPv4Network("127.9.0.0/16")).mesh
    ranges = [IPv4Network(item["cidr"]) for item in (placed["network"], *placed["edge"]["outer"])]
    assert [str(one) for one in ranges[:3]] == ["127.9.0.0/17", "127.9.128.0/20", "127.9.144.0/20"]
    assert [item["region"] for item in placed["edge"]["outer"]] == [item["region"] for item in outer]
    assert not any(one.overlaps(IPv4Network("127.9.240.0/20")) for one in ranges)
    outer.append({"region": "us-east-1"})
    (repo / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": {"envoy-mesh:mesh": mesh}}))
    with pytest.raises(Stop, match="8 regions; one machine's addresses have room for 7"):
        localized(read_stack_file(repo, "dev"), IPv4Network("127.9.0.0/16"))


def test_the_repositorys_own_files_are_not_touched(repo: Path) -> None:
    lay_out(repo, localized(read_stack_file(repo, "dev"), IPv4Network("127.9.0.0/16")), repo / "workspace")
    assert (repo / "Pulumi.dev.yaml").read_text() == STACK


def test_the_salt_of_an_earlier_run_is_kept(repo: Path) -> None:
    file = localized(read_stack_file(repo, "dev"), IPv4Network("127.9.0.0/16"))
    lay_out(repo, file, repo / "workspace")
    with (repo / "workspace" / "Pulumi.dev.yaml").open("a") as target:
        target.write("encryptionsalt: v1:abc\n")
    lay_out(repo, file, repo / "workspace")
    assert yaml.safe_load((repo / "workspace" / "Pulumi.dev.yaml").read_text())["encryptionsalt"] == "v1:abc"


def test_a_missing_stack_is_refused_with_the_stacks_there_are(repo: Path) -> None:
    with pytest.raises(Stop) as stopped:
        read_stack_file(repo, "nosuch")
    assert stopped.value.code is Exit.USAGE
    assert "Stacks of this clone: dev" in stopped.value.message


@pytest.mark.parametrize("text", ["config: [", "config: 3", "- a"])
def test_a_file_that_is_no_stack_config_is_refused(repo: Path, text: str) -> None:
    (repo / "Pulumi.dev.yaml").write_text(text)
    with pytest.raises(Stop) as stopped:
        read_stack_file(repo, "dev")
    assert stopped.value.code is Exit.USAGE
    assert "Pulumi.dev.yaml" in stopped.value.message


def test_a_mesh_without_a_network_is_left_for_the_check_to_name(repo: Path) -> None:
    (repo / "Pulumi.dev.yaml").write_text("config: {'envoy-mesh:mesh': {domain: a.b}}")
    assert localized(read_stack_file(repo, "dev"), IPv4Network("127.9.0.0/16")).mesh == {"domain": "a.b"}
