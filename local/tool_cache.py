"""Where tools are kept between stacks and clones."""

import os
from pathlib import Path

CACHE_VARIABLE = "ENVOY_MESH_CACHE"
"""Set by the launcher."""


def cache_directory() -> Path:
    """The directory that the launcher names; the same default without it."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get(CACHE_VARIABLE) or home / "envoy-mesh")
