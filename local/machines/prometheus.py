"""The Prometheus binary of a local stack: on PATH, in the cache, or Debian's package unpacked into the cache."""

import shutil
from pathlib import Path

from local.debian_package import unpacked

_NAME = "prometheus"


async def binary() -> Path:
    """Path of `prometheus`; the first call on a host may download it. Raises NotToBeHad where that is not possible."""
    found = shutil.which(_NAME)
    return Path(found) if found else (await unpacked(_NAME, _NAME)) / "usr" / "bin" / _NAME
