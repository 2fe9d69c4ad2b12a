"""`./mesh bench`: what the mesh costs on this machine. Each bench is a program of its own, below `bench/`."""

import subprocess
import sys
from collections.abc import Sequence
from enum import StrEnum

from cli.exits import Exit, Stop
from cli.session import REPO


class Bench(StrEnum):
    """Their names, as words of the command."""

    DATA_PATH = "data-path"
    START = "start"
    XDS = "xds"
    DOUBLE_PROXY = "double-proxy"


MODULES = {
    Bench.DATA_PATH: "bench.data_path",
    Bench.START: "bench.start",
    Bench.XDS: "bench.xds_push",
    Bench.DOUBLE_PROXY: "bench.double_proxy",
}


def bench(which: Bench | None, words: Sequence[str]) -> None:
    """Runs one, with words of its own, or all as they are; raises Stop when one fails."""
    for one in [which] if which else Bench:
        done = subprocess.run([sys.executable, "-m", MODULES[one], *words], cwd=REPO, check=False)
        if done.returncode != 0:
            raise Stop("", Exit.FAILED)
