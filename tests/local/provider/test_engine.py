"""The engine's own rules, on rows of values that no cloud holds; no server is needed."""

from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from local.provider.build_context import context_digest
from local.provider.clients import Clients
from local.provider.diff import Change, Kind, changes
from local.provider.engine import Engine
from local.provider.invokes import INVOKES
from local.provider.row import Call, Found, Row
from local.provider.table import ROWS
from local.provider.wire import SECRET, SIGNATURE, UNKNOWN, is_known, reveal, to_plain, to_struct
from tests.local.provider.world import urn_of

ROLE = "aws:iam/role:Role"


@pytest.fixture
def offline() -> Engine:
    return Engine(ROWS, INVOKES, Clients("http://127.0.0.1:9", "eu-central-1"))


def test_changes_are_paths_that_a_preview_can_show() -> None:
    old = {"tags": {"Name": "a", "mesh:role": "b"}, "ports": [1, 2], "gone": 1, "__defaults": ["name"]}
    new = {"tags": {"Name": "c"}, "ports": [1, 3, 4], "came": 2}
    assert changes(old, new) == [
        Change("came", "came", Kind.ADD),
        Change("gone", "gone", Kind.DELETE),
        Change("ports[1]", "ports", Kind.UPDATE),
        Change("ports[2]", "ports", Kind.ADD),
        Change("tags.Name", "tags", Kind.UPDATE),
        Change('tags["mesh:role"]', "tags", Kind.DELETE),
    ]


def test_a_property_bag_keeps_whole_numbers_and_unwraps_secrets() -> None:
    bag = {"port": 80, "share": 0.5, "list": [1, {"deep": True}], "text": "1.40"}
    assert to_plain(to_struct(bag)) == bag
    assert reveal({"password": {SIGNATURE: SECRET, "value": "p"}, "none": None}) == {"password": "p"}
    assert not is_known({"a": [{"b": UNKNOWN}]})


def test_a_name_that_nobody_gave_stays_until_the_resource_is_replaced(offline: Engine) -> None:
    urn = urn_of(ROLE, "edge")
    first, _ = offline.check(urn, {}, {"assumeRolePolicy": "{}"})
    assert first["name"].startswith("edge-")
    assert len(first["name"]) == len("edge-") + 7
    assert offline.check(urn, first, {"assumeRolePolicy": "[]"})[0]["name"] == first["name"]
    assert offline.check(urn, {}, {"assumeRolePolicy": "{}"})[0]["name"] == first["name"]
    offline.diff(urn, first["name"], first, first, {})
    assert offline.check(urn, {}, {"assumeRolePolicy": "{}"})[0]["name"] != first["name"]


def test_a_name_prefix_and_a_given_name_are_kept(offline: Engine) -> None:
    urn = urn_of(ROLE, "edge")
    assert offline.check(urn, {}, {"namePrefix": "p-"})[0]["name"].startswith("p-")
    assert offline.check(urn, {}, {"name": "mine"})[0] == {"name": "mine"}


def test_nothing_is_adopted_where_the_cloud_says_that_there_is_nothing_and_another_error_is_told() -> None:
    def find(call: Call) -> list[Found]:
        raise ClientError({"Error": {"Code": call.inputs["code"], "Message": "no"}}, "GetRole")

    engine = Engine({ROLE: Row(token=ROLE, create=lambda call: "made", find=find)}, INVOKES, Clients("http://127.0.0.1:9", "eu-central-1"))
    assert engine.create(urn_of(ROLE, "edge"), {"code": "NoSuchEntity"})[0] == "made"
    with pytest.raises(ClientError, match="Throttling"):
        engine.create(urn_of(ROLE, "edge"), {"code": "Throttling"})


def test_a_replaced_resource_with_a_name_of_its_own_goes_first(offline: Engine) -> None:
    """Two things of one name cannot live side by side; the real provider's bridge decides the same way."""
    urn = urn_of(ROLE, "edge")
    named = {"name": "mine", "path": "/a/"}
    assert offline.diff(urn, "mine", named, {**named, "path": "/b/"}, {}).delete_before_replace
    free, _ = offline.check(urn, {}, {"path": "/a/"})
    changed, _ = offline.check(urn, free, {"path": "/b/"})
    difference = offline.diff(urn, "x", free, changed, {})
    assert difference.replaces == ("path",)
    assert not difference.delete_before_replace


def test_a_certificate_near_its_end_is_replaced(offline: Engine) -> None:
    urn = urn_of("tls:index/selfSignedCert:SelfSignedCert", "ca")
    fresh = {"validityEndTime": "2999-01-01T00:00:00+00:00"}
    assert offline.diff(urn, "1", {}, {}, fresh).replaces == ()
    assert offline.diff(urn, "1", {}, {}, {**fresh, "earlyRenewalHours": 24 * 400_000}).replaces == ("readyForRenewal",)


def test_inputs_that_wait_for_others_pass_a_check_as_they_came(offline: Engine) -> None:
    inputs = {"name": "/p", "value": UNKNOWN, "type": "SecureString"}
    assert offline.check(urn_of("aws:ssm/parameter:Parameter", "p"), {}, inputs) == (inputs, [])


def test_an_images_digest_follows_its_files_and_its_ignore_list(tmp_path: Path) -> None:
    def digest() -> str:
        return context_digest(tmp_path, tmp_path / "Dockerfile", "")

    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /app\n")
    (tmp_path / ".dockerignore").write_text("# words\n*.log\nbuild\n!build/keep\n")
    (tmp_path / "app.py").write_text("one")
    first = digest()
    (tmp_path / "noise.log").write_text("ignored")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "app.pyc").write_text("ignored")
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "out").write_text("ignored")
    assert digest() == first
    (tmp_path / "build" / "keep").write_text("kept")
    kept = digest()
    assert kept != first
    (tmp_path / "app.py").write_text("two")
    assert digest() not in (first, kept)


def test_a_changed_file_shows_as_a_change_of_the_image(offline: Engine, tmp_path: Path) -> None:
    urn = urn_of("docker:index/image:Image", "app")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    given = {"imageName": "registry.example.com/app:1", "build": {"context": str(tmp_path)}}
    old, failures = offline.check(urn, {}, given)
    assert failures == []
    _, state = offline.create(urn, old)
    (tmp_path / "Dockerfile").write_text("FROM other\n")
    new, _ = offline.check(urn, old, given)
    assert [change.path for change in offline.diff(urn, "x", old, new, state).changes] == ["contextHash"]
    after = offline.update(urn, "x", old, new, state, preview=True)
    assert after["repoDigest"].startswith("registry.example.com/app@sha256:")
    assert after["repoDigest"] != state["repoDigest"]


def test_an_image_without_a_context_is_refused(offline: Engine) -> None:
    urn = urn_of("docker:index/image:Image", "app")
    _, failures = offline.check(urn, {}, {"imageName": "a", "build": {"context": "no/such/place"}})
    assert "no/such/place" in failures[0].reason
