"""Who may import whom (ARCHITECTURE.md), read from the source of every module."""

import ast
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "model": set(),
    "envoy_configs": {"model", "apps"},
    "observability": {"model"},
    "components": {"model", "envoy_configs", "observability"},
    "settings": {"model", "components"},
    "__main__": {"model", "components", "settings"},
    "apps": {"model"},
    "local": {"model", "envoy_configs", "apps"},
    "cli": {"model", "local", "settings", "apps"},
    "bench": {"model", "apps", "envoy_configs", "local"},
}
"""First-party packages by what else of ours they may import; each may import itself."""
PURE_CONTROL_PLANE = tuple(f"apps.control_plane.{part}" for part in ("model", "node", "build", "resources", "snapshot", "type_urls"))
OF_APPS = {
    "local": ("apps.agent",),
    "cli": PURE_CONTROL_PLANE,
    "envoy_configs": PURE_CONTROL_PLANE,
}
"""The only parts of `apps` that others import: the agent, which the machine runner calls, and the control plane's pure core."""
FORBIDDEN = {
    "model": {"pulumi", "pulumi_aws", "boto3", "envoy", "grpc", "moto"},
    "apps": {"pulumi", "pulumi_aws", "pulumi_tls", "pulumi_random", "pulumi_docker", "moto"},
    "envoy_configs": {"pulumi", "pulumi_aws", "boto3", "moto"},
    "components": {"boto3", "moto"},
}
"""Third-party packages that would break what a package is for."""


def modules() -> list[tuple[str, Path]]:
    """Every module of ours with the package it belongs to."""
    roots = [
        (name, [REPO / f"{name}.py"] if (REPO / f"{name}.py").exists() else sorted((REPO / name).rglob("*.py"))) for name in MAY_IMPORT
    ]
    return [(name, path) for name, paths in roots for path in paths if not path.stem.endswith(("_pb2", "_pb2_grpc"))]


def imports(path: Path) -> set[str]:
    """Dotted names of all that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_the_layering_allows(package: str) -> None:
    wrong = []
    for owner, path in modules():
        if owner != package:
            continue
        for name in sorted(imports(path)):
            top = name.split(".")[0]
            outside = top in MAY_IMPORT and top != package and top not in MAY_IMPORT[package]
            private = top == "apps" and package in OF_APPS and not name.startswith(OF_APPS[package])
            if outside or private or top in FORBIDDEN.get(package, set()):
                wrong.append(f"{path.relative_to(REPO)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_every_python_package_of_the_repository_has_a_place_in_the_layering() -> None:
    packages = {path.parent.name for path in REPO.glob("*/__init__.py")} | {path.stem for path in REPO.glob("*.py")}
    assert packages <= set(MAY_IMPORT)
