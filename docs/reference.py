"""Writes the generated pages of docs/: `python -m docs.reference`, to be run after a change of what they are made from."""

from collections.abc import Callable
from pathlib import Path

from docs import components_page, config_page, costs_page

DIRECTORY = Path(__file__).resolve().parent
PAGES: dict[str, Callable[[], str]] = {
    "components.md": components_page.page,
    "config.md": config_page.page,
    "costs.md": costs_page.page,
}
"""Each page's file and what makes its text; tests/docs holds the files to it."""


def write(directory: Path = DIRECTORY) -> list[str]:
    """Writes the pages into `directory`; returns the names of those that changed."""
    changed = []
    for name, page in PAGES.items():
        file, text = directory / name, page()
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
            changed.append(name)
    return changed


if __name__ == "__main__":
    for name in write():
        print(f"docs/{name} written")
