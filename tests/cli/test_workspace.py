"""The stack's files as the engine gets them."""

from ipaddress import IPv4Network
from pathlib import Path

import pytest
import yaml

from cli.exits import Exit, Stop
from cli.workspace import lay_out, localized, read_stack_file
from model.problems import ConfigError, Problem

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


def refused(repo: Path) -> list[Problem]:
    """What reading the dev stack's file says is wrong with it."""
    with pytest.raises(Stop) as stopped:
        read_stack_file(repo, "dev")
    assert stopped.value.code is Exit.USAGE
    assert isinstance(stopped.value.__cause__, ConfigError)
    return stopped.value.__cause__.problems


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


@pytest.mark.parametrize(
    ("text", "place", "value", "rule", "fix"),
    [
        ("config: [", "Pulumi.dev.yaml, line 1", "'config: ['", "not YAML", "mend the line"),
        ("config: {a:b: 1, a:b: 2}", "a:b", "2 (line 1)", "stands at line 1 already", "keep one"),
        ("config: 3", "config", "3", "`config` is one too", "write `config:`"),
        ("config:", "config", "(not set)", "`config` is one too", "write `config:`"),
        ("- a", "config", "(not set)", "`config` is one too", "write `config:`"),
        ("", "config", "(not set)", "`config` is one too", "write `config:`"),
        ("config: {mesh: {}}", "mesh", "{}", "<namespace>:<name>", "write `envoy-mesh:mesh`"),
        ("config: {envoy-mesh:config:mesh: {}}", "envoy-mesh:config:mesh", "{}", "<namespace>:<name>", "write `envoy-mesh:mesh`"),
        ("config: {'aws:': x}", "aws:", "'x'", "<namespace>:<name>", "write `aws:mesh`"),
        ("config: {}\nencryptionsalt: abc", "encryptionsalt", "'abc'", "`v1:<salt>:<text>`", "remove it"),
        ("config: {}\nencryptionsalt: 5", "encryptionsalt", "5", "Pulumi writes text here", "remove"),
        ("config: {}\nsecretsprovider: [a]", "secretsprovider", "['a']", "Pulumi writes text here", "remove"),
        ("config: {}\nencryptedkey:", "encryptedkey", "null", "Pulumi writes text here", "remove"),
    ],
)
def test_a_file_that_is_no_stack_config_is_refused(repo: Path, text: str, place: str, value: str, rule: str, fix: str) -> None:
    (repo / "Pulumi.dev.yaml").write_text(text)
    (problem,) = refused(repo)
    assert (problem.path, problem.value) == (place, value)
    assert rule in problem.rule
    assert fix in problem.fix


def test_a_file_in_another_encoding_is_refused_with_the_line(repo: Path) -> None:
    (repo / "Pulumi.dev.yaml").write_bytes(b"config:\n  # caf\xe9\n  aws:region: eu-west-1\n")
    (problem,) = refused(repo)
    assert (problem.path, problem.value) == ("Pulumi.dev.yaml, line 2", "byte 0xe9")
    assert "UTF-8" in problem.rule


def test_a_byte_order_mark_is_no_part_of_the_first_key(repo: Path) -> None:
    (repo / "Pulumi.dev.yaml").write_text("config: {aws:region: eu-west-1}", encoding="utf-8-sig")
    assert read_stack_file(repo, "dev").region == "eu-west-1"


def test_a_file_that_cannot_be_read_is_told_with_the_reason(repo: Path) -> None:
    (repo / "Pulumi.other.yaml").mkdir()
    with pytest.raises(Stop, match=r"Pulumi\.other\.yaml cannot be read: Is a directory") as stopped:
        read_stack_file(repo, "other")
    assert stopped.value.code is Exit.USAGE


def test_the_owners_passphrase_is_not_asked_for_here(repo: Path) -> None:
    with (repo / "Pulumi.dev.yaml").open("a") as target:
        target.write("encryptionsalt: v1:abc=:v1:def:ghi=\n")
    lay_out(repo, read_stack_file(repo, "dev"), repo / "workspace")
    assert set(yaml.safe_load((repo / "workspace" / "Pulumi.dev.yaml").read_text())) == {"config"}


def test_a_mesh_without_a_network_is_left_for_the_check_to_name(repo: Path) -> None:
    (repo / "Pulumi.dev.yaml").write_text("config: {'envoy-mesh:mesh': {domain: a.b}}")
    assert localized(read_stack_file(repo, "dev"), IPv4Network("127.9.0.0/16")).mesh == {"domain": "a.b"}
