"""An edge without a network, for what smoke makes of its answers."""

from collections.abc import Callable, Sequence
from typing import Any

import httpx

from cli.smoke_door import Door
from cli.trust import Trust
from model.edge import EdgeSpec

URL = "https://127.0.0.9:8443"


class FakeEdge:
    """Answers by a function, and remembers the requests."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self.asked: list[httpx.Request] = []
        self._answer = answer

    def door(self, *, domain: str = "", limited: bool = False, front: Sequence[str] = ("edge",)) -> Door:
        client = httpx.AsyncClient(base_url=URL, transport=httpx.MockTransport(self._take))
        return Door(edge=URL, domain=domain, host=domain, client=client, front=front, trust=Trust(ca="", edge=EdgeSpec()), limited=limited)

    def _take(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self._answer(request)


class Bucket:
    """Tokens of a limit, of which `back` come back with each refusal; answers as an edge does."""

    def __init__(self, requests: int, *, reset: int = 1, back: int = 0, around: int = 0) -> None:
        self.left = requests
        self._requests, self._reset, self._back, self._around = requests, reset, back, around

    def take(self, passed: httpx.Response) -> httpx.Response:
        """`passed` with the limit's headers, or the refusal."""
        if self.left > 0:
            self.left -= 1
            return httpx.Response(passed.status_code, content=passed.content, headers=self._headers(0))
        self.left += self._back
        return httpx.Response(429, headers=[("x-local-rate-limit", "true"), *self._headers(self._reset)])

    def _headers(self, reset: int) -> list[tuple[str, str]]:
        own = [("limit", str(self._requests)), ("remaining", str(self.left)), ("reset", str(reset))]
        wide = [("limit", str(self._around)), ("remaining", str(self._around)), ("reset", "0")] if self._around else []
        return [(f"x-ratelimit-{name}", value) for name, value in (*own, *wide)]


def sample(instance: str) -> httpx.Response:
    """What a sample's `/info` says."""
    body: dict[str, Any] = {"instance_id": instance}
    return httpx.Response(200, json=body)
