"""Fills `${MESH_*}` placeholders; everything else in a template, dollar signs included, stays as it is."""

import re
from collections.abc import Mapping

from apps.common.errors import MeshError

PLACEHOLDER = re.compile(r"\$\{(MESH_[A-Z0-9_]+)\}")
CLOUD_INIT_MISSING = "CI_MISSING_JINJA_VAR"
"""What cloud-init's jinja leaves, without an error, for a fact that it does not know."""
EMPTY_ALLOWED = frozenset({"MESH_ROOT"})


def refuse_missing_facts(env: Mapping[str, str]) -> None:
    """Raises MeshError for a machine fact that cloud-init could not fill in."""
    wrong = sorted(name for name, value in env.items() if name.startswith("MESH_") and CLOUD_INIT_MISSING in value)
    if wrong:
        raise MeshError(
            f"machine facts {', '.join(wrong)} hold {CLOUD_INIT_MISSING}: cloud-init had no such instance data; "
            "check the jinja names in the user data's machine.env"
        )


def render(text: str, env: Mapping[str, str], *, source: str) -> str:
    """The text with its placeholders filled; raises MeshError naming `source` and each unknown or empty name."""
    names = set(PLACEHOLDER.findall(text))
    unknown = sorted(name for name in names if not env.get(name) and name not in EMPTY_ALLOWED)
    if unknown:
        raise MeshError(f"{source}: no value for {', '.join(unknown)}; machine.env or the service's environment must set it")
    return PLACEHOLDER.sub(lambda match: env.get(match[1], ""), text)
