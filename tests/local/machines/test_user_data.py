"""User data as cloud-init reads it."""

import gzip
from base64 import b64encode
from pathlib import Path

import pytest

from local.machines.instance import InstanceFacts
from local.machines.user_data import UserDataError, read_machine_env, read_user_data

FACTS = InstanceFacts(instance_id="i-1", address="127.9.1.2", zone="eu-central-1b", region="eu-central-1")
HEAD = "## template: jinja\n#cloud-config\n"


def file_entry(content: str, *, encoding: str = "", more: str = "") -> str:
    return f"{HEAD}write_files:\n- path: /etc/mesh/file\n  encoding: '{encoding}'\n  content: {content}\n{more}"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("v1.instance_id", "i-1"),
        ("instance_id", "i-1"),
        ("ds.meta_data.instance_id", "i-1"),
        ("v1.availability_zone", "eu-central-1b"),
        ("ds.meta_data.placement.availability_zone", "eu-central-1b"),
        ("v1.region", "eu-central-1"),
        ("ds.meta_data.local_ipv4", "127.9.1.2"),
        ("v1.local_hostname", "ip-127-9-1-2"),
        ("v1.cloud_name", "aws"),
    ],
)
def test_jinja_sees_what_cloud_init_offers_on_ec2(expression: str, value: str) -> None:
    config = read_user_data(file_entry("'{{ " + expression + " }}'").encode(), FACTS)
    assert config.files[0].content == value.encode()


def test_without_the_template_line_braces_are_text() -> None:
    text = file_entry("'{{ v1.instance_id }}'").removeprefix("## template: jinja\n")
    assert read_user_data(text.encode(), FACTS).files[0].content == b"{{ v1.instance_id }}"


@pytest.mark.parametrize("encoding", ["gz+b64", "gzip+base64"])
def test_packed_content_is_unpacked(encoding: str) -> None:
    packed = b64encode(gzip.compress(b"{{ not jinja }}")).decode()
    assert read_user_data(file_entry(packed, encoding=encoding).encode(), FACTS).files[0].content == b"{{ not jinja }}"


def test_whole_user_data_may_be_packed() -> None:
    assert read_user_data(gzip.compress(file_entry("text").encode()), FACTS).files[0].content == b"text"


def test_files_are_written_below_the_root_with_their_mode(tmp_path: Path) -> None:
    read_user_data(file_entry("one", more="  permissions: '0600'\n").encode(), FACTS).write(tmp_path)
    target = tmp_path / "etc/mesh/file"
    assert target.read_text() == "one"
    assert target.stat().st_mode & 0o777 == 0o600
    read_user_data(file_entry("two", more="  append: true\n").encode(), FACTS).write(tmp_path)
    assert target.read_text() == "onetwo"


@pytest.mark.parametrize(
    ("user_data", "message"),
    [
        (b"  \n", "user data is empty"),
        (b"\xff\xfe", "not UTF-8"),
        (b"#!/bin/sh\ntrue\n", "first line of a cloud-config"),
        (b"#cloud-config\n- a\n", "no mapping"),
        (b"#cloud-config\na: [\n", "not YAML"),
        (b"#cloud-config\nswap: {size: 1}\nmounts: []\n", "does not carry out: mounts, swap"),
        (file_entry("'{{ v1.nosuch }}'").encode(), "no attribute 'nosuch'"),
        (file_entry("'{{ nosuch }}'").encode(), "'nosuch' is undefined"),
        (file_entry("'{{ v1. }}'").encode(), "not a jinja template, line 6"),
        (file_entry("'CI_MISSING_JINJA_VAR/x'").encode(), "CI_MISSING_JINJA_VAR in it"),
        (file_entry("'not packed'", encoding="gz+b64").encode(), r"write_files\[0\] \(/etc/mesh/file\): content is not gz\+b64"),
        (file_entry("x", encoding="zip").encode(), "encoding 'zip' is not one of"),
        (file_entry("x", more="  permissions: 'rw'\n").encode(), "permissions 'rw' is not an octal mode"),
        (b"#cloud-config\nwrite_files: [{content: x}]\n", r"write_files\[0\] has no path"),
        (b"#cloud-config\nwrite_files: [{path: /../../etc/passwd, content: x}]\n", "leaves the machine's root"),
    ],
)
def test_a_mistake_is_named(user_data: bytes, message: str) -> None:
    with pytest.raises(UserDataError, match=message):
        read_user_data(user_data, FACTS)


def test_env_files_are_read_as_compose_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "machine.env"
    path.write_text("# facts\n\nA=1\nB='x $y #z'\nC=\"q\"\nD=a=b\nE=\n")
    assert read_machine_env(path) == {"A": "1", "B": "x $y #z", "C": "q", "D": "a=b", "E": ""}


@pytest.mark.parametrize(
    ("line", "message"), [("A", "line 1: 'A' is not NAME=value"), ("A=CI_MISSING_JINJA_VAR/zone", "A has CI_MISSING_JINJA_VAR")]
)
def test_a_bad_line_of_an_env_file_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "machine.env"
    path.write_text(line)
    with pytest.raises(UserDataError, match=message):
        read_machine_env(path)
