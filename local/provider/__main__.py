"""`python -m local.provider --moto-url URL`: the plugin process. Prints its port, ends with its parent."""

import argparse
import os
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

UNREACHABLE = 3
"""Exit code when there is no cloud to talk to."""


def main() -> None:
    arguments = _arguments()
    _require_cloud(arguments.moto_url)
    serve(arguments.moto_url, arguments.region, arguments.port, arguments.state)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.provider", description="Pulumi provider plugin over a moto server.")
    parser.add_argument("--moto-url", required=True, help="where the moto server answers, for example http://127.0.0.1:5000")
    parser.add_argument("--region", default="eu-central-1", help="region of resources that name none, unless the stack sets aws:region")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (0: a free one); printed as the first line")
    parser.add_argument("--state", type=Path, help="directory for provider.log: one line a call, with its duration")
    return parser.parse_args()


def _require_cloud(url: str) -> None:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 80), timeout=2).close()
    except OSError as error:
        print(f"no moto server at {url} ({error}); start the stack's supervisor first (./mesh up does)", file=sys.stderr)
        sys.exit(UNREACHABLE)


def serve(url: str, region: str, port: int, state: Path | None) -> None:
    """Serves until the parent is gone or closes our standard input."""
    from local.provider.server import start  # half a second: not before the cloud is known to be there

    _, bound = start(url, region, port=port, log=_log_to(state))
    print(bound, flush=True)
    _wait_for_end_of_parent()
    os._exit(0)


def _log_to(state: Path | None) -> Callable[[str], None]:
    if state is None:
        return lambda _: None
    state.mkdir(parents=True, exist_ok=True)
    file = (state / "provider.log").open("a", buffering=1)
    return lambda line: print(f"time={time.time():.3f} {line}", file=file)


def _wait_for_end_of_input(ended: threading.Event) -> None:
    sys.stdin.buffer.read()
    ended.set()


def _wait_for_end_of_parent() -> None:
    parent = os.getppid()
    ended = threading.Event()
    mode = os.fstat(0).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        threading.Thread(target=_wait_for_end_of_input, args=(ended,), daemon=True).start()
    while os.getppid() == parent and not ended.wait(0.5):
        pass


if __name__ == "__main__":
    main()
