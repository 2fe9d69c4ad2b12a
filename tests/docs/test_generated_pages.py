"""The generated pages of docs/ say what the code says."""

import ast
from pathlib import Path

import pytest
from pydantic import BaseModel

from docs import components_page, config_page
from docs.reference import DIRECTORY, PAGES, write
from model.spec import MeshSpec

REPO = DIRECTORY.parent


@pytest.mark.parametrize("name", PAGES)
def test_the_committed_page_is_what_the_generator_makes(name: str) -> None:
    assert (DIRECTORY / name).read_text() == PAGES[name](), f"docs/{name} is out of date: run `python -m docs.reference`"


def test_writing_twice_changes_nothing(tmp_path: Path) -> None:
    assert write(tmp_path) == list(PAGES)
    assert write(tmp_path) == []


def test_every_key_of_every_part_of_the_mesh_has_a_row_in_its_own_table() -> None:
    tables = {part.split("`", 1)[0]: part for part in config_page.page().split("\n## `")[1:]}
    parts = config_page.sections()
    assert len(parts) > 10
    for section in parts:
        for name, field in section.model.model_fields.items():
            assert f"\n| `{field.alias or name}` |" in tables[section.path], f"{section.path}.{field.alias or name}"


def test_no_link_of_the_config_page_leads_nowhere() -> None:
    page = config_page.page()
    anchors = {"".join(c for c in line[3:].lower() if c.isalnum() or c in "-_") for line in page.splitlines() if line.startswith("## ")}
    wanted = {part.split(")")[0] for part in page.split("](#")[1:]}
    assert wanted <= anchors


def test_a_part_within_lists_mappings_and_unions_is_found() -> None:
    class Leaf(BaseModel):
        pass

    annotation = dict[str, list[Leaf] | None] | Leaf
    assert list(config_page._models(annotation)) == [(".<name>[]", Leaf), ("", Leaf)]


def test_the_first_section_is_the_whole_mesh() -> None:
    assert config_page.sections()[0] == config_page.Section("mesh", MeshSpec)


def test_every_component_resource_of_the_source_is_on_the_page() -> None:
    page = components_page.page()
    found = 0
    for path in (REPO / "components").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and any("ComponentResource" in ast.unparse(base) for base in node.bases):
                found += 1
                assert f"### `{node.name}`" in page
                assert f"`mesh:{path.stem}:{node.name}`" in page
    assert found >= 10


def test_a_resource_that_a_helper_function_makes_counts_for_the_component() -> None:
    dns = components_page.page().split("### `PrivateDns`")[1].split("### ")[0]
    assert "`aws.route53.Record`" in dns
    assert "`aws.route53.Zone`" in dns


def test_every_component_says_what_it_is() -> None:
    for part in components_page.page().split("\n### ")[1:]:
        assert len(part.split("`. ")[1].split("\n")[0]) > 20, part.splitlines()[0]
