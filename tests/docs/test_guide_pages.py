"""What the guide pages tell a reader to type exists: verbs and options of `./mesh`, files, stack outputs, resource names."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from cli.app import app

REPO = Path(__file__).resolve().parents[2]
PAGES = [path.relative_to(REPO).as_posix() for path in (*sorted(REPO.glob("*.md")), *sorted((REPO / "docs").rglob("*.md")))]
VERBS = typer.main.get_command(app)
FAMILIES = ("deploy.md", "troubleshooting.md")


def code(page: str) -> Iterator[str]:
    """Lines of code blocks, and inline code."""
    text = (REPO / page).read_text()
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.S | re.M)
    yield from (line for block in blocks for line in block.splitlines())
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M))


@pytest.mark.parametrize("page", [f"docs/{name}" for name in FAMILIES])
def test_every_verb_and_option_of_mesh_on_the_page_exists(page: str) -> None:
    commands = VERBS.commands  # type: ignore[attr-defined]
    used = 0
    for line in code(page):
        for verb, rest in re.findall(r"\./mesh ([a-z]+)([^;|&#)]*)", line):
            used += 1
            assert verb in commands, f"{page}: {line}"
            known = {option for parameter in commands[verb].params for option in parameter.opts} | {"--help", "-h"}
            assert {word for word in rest.split() if word.startswith("-")} <= known, f"{page}: {line}"
    assert used


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_leads_to_a_file(page: str) -> None:
    here = (REPO / page).parent
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", (REPO / page).read_text()):
        if "://" not in target:
            assert (here / target).exists(), f"{page}: {target}"


@pytest.mark.parametrize("page", [f"docs/{name}" for name in FAMILIES])
def test_every_stack_output_that_the_page_reads_is_exported(page: str) -> None:
    program = (REPO / "__main__.py").read_text()
    exported = set(re.findall(r'pulumi\.export\("(\w+)"', program))
    for line in code(page):
        for name in re.findall(r"pulumi stack output (?:--json )?([a-zA-Z]\w*)", line):
            assert name in exported, f"{page}: {line}"


@pytest.mark.parametrize("page", [f"docs/{name}" for name in FAMILIES])
def test_every_resource_that_the_page_targets_is_one_that_the_components_make(page: str) -> None:
    suffixes = re.findall(r'f"\{[^}]+\}(-[a-z-]+)"', "".join(path.read_text() for path in (REPO / "components").glob("*.py")))
    images = {f"image-{path.parent.name.replace('_', '-')}" for path in (REPO / "apps").glob("*/Dockerfile")}
    for line in code(page):
        for name in re.findall(r"\*\*::([a-z0-9-]+)", line):
            assert name in images or name.endswith(tuple(suffixes)), f"{page}: {line}"
