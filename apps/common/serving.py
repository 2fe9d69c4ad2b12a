"""How our HTTP programs serve behind an Envoy."""

from typing import Any

import uvicorn

KEEP_ALIVE_SECONDS = 75
"""Longer than the Envoy beside keeps an idle connection, so that it is never the program that closes one."""


def serve(app: Any, *, host: str, port: int, grace_seconds: int) -> None:
    """Serves an ASGI app until SIGTERM, then finishes what runs for up to `grace_seconds`. Envoy writes the access log."""
    uvicorn.run(
        app,
        host=host,
        port=port,
        proxy_headers=False,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=grace_seconds,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
