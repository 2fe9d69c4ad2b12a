"""The provider plugin for the time of one engine operation: a child process that ends with this one."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cli.engine import Attached
from cli.exits import Stop

PACKAGES = ("aws", "tls", "random", "docker", "docker-build")
"""Every package that the program uses: none can be downloaded while plugins are not acquired."""
END_SECONDS = 5


@contextmanager
def provider(repo: Path, moto_url: str, region: str, state: Path, keep_open: Sequence[int] = ()) -> Iterator[Attached]:
    """Runs the provider against a cloud; `keep_open` are descriptors that it inherits."""
    words = [sys.executable, "-P", "-m", "local.provider", "--moto-url", moto_url, "--region", region, "--state", str(state)]
    # A session of its own: Ctrl-C must not end it while the engine still finishes what it began.
    process = subprocess.Popen(
        words,
        cwd=repo,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(state / "provider.err").open("w"),
        text=True,
        start_new_session=True,
        pass_fds=keep_open,
    )
    try:
        port = process.stdout.readline().strip() if process.stdout else ""
        if not port.isdigit():
            said = (state / "provider.err").read_text().strip().splitlines()
            raise Stop(f"the local provider did not start: {said[-1] if said else 'it said nothing'}")
        yield Attached(port=int(port), packages=PACKAGES)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
