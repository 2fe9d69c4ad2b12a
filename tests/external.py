"""Services of a user's own that an edge asks: an authorizer and a rate limit service, each at a free port of loopback."""

import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse
from envoy.service.ratelimit.v3.rls_pb2_grpc import RateLimitServiceServicer, add_RateLimitServiceServicer_to_server


class Authorizer:
    """Knows two tokens; `x-current-user` says whose it is."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self._stopped = False
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                if owner._stopped:
                    # The edge keeps its connections, and so the threads that serve them.
                    self.close_connection = True
                    return
                owner.asked.append((self.command, self.path, {key.lower(): value for key, value in self.headers.items()}))
                user = {"Bearer token1": "user1", "Bearer token2": "user2"}.get(self.headers.get("authorization", ""))
                body = b"" if user or "json" not in self.path else b'{"why":"no token"}'
                self.send_response(200 if user else 403)
                self.send_header("content-length", str(len(body)))
                if user:
                    self.send_header("x-current-user", user)
                    self.send_header("x-other", "not for apps")
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._stopped = True
        self._server.shutdown()
        self._server.server_close()


class Limiter(RateLimitServiceServicer):  # type: ignore[misc]
    """Lets some routes have so many requests each, and all others as many as they want; remembers what it was asked."""

    def __init__(self, limits: Mapping[str, int]) -> None:
        self.asked: list[dict[str, str]] = []
        self.domains: set[str] = set()
        self._limits = limits
        self._used: Counter[str] = Counter()
        self._server = grpc.server(ThreadPoolExecutor(2))
        add_RateLimitServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def ShouldRateLimit(self, request: RateLimitRequest, context: grpc.ServicerContext) -> RateLimitResponse:
        self.domains.add(request.domain)
        descriptors = [{entry.key: entry.value for entry in descriptor.entries} for descriptor in request.descriptors]
        self.asked.extend(descriptors)
        code = RateLimitResponse.OK
        for descriptor in descriptors:
            if set(descriptor) == {"route"}:
                route = descriptor["route"]
                self._used[route] += 1
                if self._used[route] > self._limits.get(route, self._used[route]):
                    code = RateLimitResponse.OVER_LIMIT
        return RateLimitResponse(overall_code=code)

    def stop(self) -> None:
        self._server.stop(0).wait(5)
