"""The Prometheus binary of a local stack: on PATH, else Debian's package unpacked into the cache."""

import shutil
from pathlib import Path

from local.machines import debian_package


async def binary() -> Path:
    """Path of `prometheus`; the first call on a host may download it. Raises NotToBeHad."""
    found = shutil.which("prometheus")
    return Path(found) if found else await debian_package.unpacked("prometheus") / "usr" / "bin" / "prometheus"
