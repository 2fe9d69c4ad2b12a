"""Asks machines whether they are ready, all at the same time."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from apps.control_plane.discovery.machines import Machine

ANSWER_SECONDS = 0.5
AT_ONCE = 16

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ReadyProbe:
    """Threads that ask, kept between rounds."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="ready")

    def ready(self, machines: Sequence[Machine]) -> set[str]:
        """Instance ids of those that answered 200."""
        answers = self._pool.map(answers_ok, [machine.ready_url for machine in machines])
        return {machine.instance for machine, answer in zip(machines, answers, strict=True) if answer}


def answers_ok(url: str) -> bool:
    """Whether the URL answers 200 now."""
    try:
        with _direct.open(url, timeout=ANSWER_SECONDS) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, http.client.HTTPException):
        return False
