"""The two ways to the same Python environment: `./mesh` by requirements.lock, `pulumi install` by the name that Pulumi looks for."""

import re
from pathlib import Path

import yaml

REPO = Path(__file__).resolve().parent.parent


def names(text: str) -> set[str]:
    """Names of the distributions that a requirements file lists, without extras and versions."""
    found = re.findall(r"^([A-Za-z0-9][A-Za-z0-9._-]*)", text, re.M)
    return {name.lower().replace("_", "-") for name in found}


def test_pulumi_installs_what_the_lock_says() -> None:
    """Pulumi's pip toolchain reads requirements.txt; its uv toolchain would make `.venv` equal to pyproject.toml at each `up`."""
    options = yaml.safe_load((REPO / "Pulumi.yaml").read_text())["runtime"]["options"]
    assert options == {"toolchain": "pip", "virtualenv": ".venv"}
    assert (REPO / "requirements.txt").resolve() == REPO / "requirements.lock"


def test_the_lock_has_every_requirement_with_hashes() -> None:
    lock = (REPO / "requirements.lock").read_text()
    assert names((REPO / "requirements.in").read_text()) <= names(lock)
    assert len(re.findall(r"^[A-Za-z0-9].*==", lock, re.M)) <= lock.count("--hash=sha256:")


def test_what_pulumi_leaves_is_not_committed() -> None:
    assert {".venv/", "uv.lock"} <= set((REPO / ".gitignore").read_text().splitlines())
