"""One thing that `./mesh smoke` tried."""

from dataclasses import dataclass

import httpx


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing tried through one edge."""

    edge: str
    what: str
    expected: str
    seen: str
    ok: bool | None
    """None: not exercised, since nothing there answers for it."""


def failure(error: httpx.HTTPError) -> str:
    """Why there was no answer, in short."""
    return f"{type(error).__name__}: {error}".rstrip(": ")
