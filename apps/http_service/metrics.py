"""Counts what the app answered, for `/metrics` (Prometheus text format)."""

from prometheus_client import Counter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PROBES = ("/health", "/metrics")
"""What the mesh asks for by itself, each few seconds: no work of the app."""
REQUESTS = Counter("http_requests", "Requests answered by the app, but for health checks and scrapes", ["method", "status"])


class CountRequests:
    """ASGI middleware; Starlette's own base class costs a task a request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                REQUESTS.labels(scope["method"], str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, counted)
