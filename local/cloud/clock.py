"""One thread that runs functions when their time comes: heartbeats, warm-ups, retries and purges of the local cloud."""

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

_log = logging.getLogger(__name__)

Action = Callable[[], None]


class Clock:
    """Sleeps until the next function is due; nothing wakes it when nothing is.

    Functions cannot be taken back: they look at the state they find and do nothing if it has moved on.
    """

    def __init__(self, run: Callable[[Action], None]) -> None:
        """`run` gets every due function, and calls it with whatever lock and notification it needs."""
        self._run = run
        self._due: list[tuple[float, int, Action]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._loop, name="local-cloud-clock", daemon=True)
        self._thread.start()

    def after(self, seconds: float, action: Action) -> None:
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), action))
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def _loop(self) -> None:
        while action := self._next():
            try:
                self._run(action)
            except Exception:
                _log.exception("event=timer_failed action=%r", action)

    def _next(self) -> Action | None:
        with self._changed:
            while not self._stopped:
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(wait)
            return None


_clock: Clock | None = None


def start(run: Callable[[Action], None]) -> None:
    global _clock
    _clock = Clock(run)


def stop() -> None:
    global _clock
    if _clock is not None:
        _clock.stop()
        _clock = None


def after(seconds: float, action: Action) -> None:
    """Runs `action` later on the running cloud's clock; does nothing when no cloud runs."""
    if _clock is not None:
        _clock.after(seconds, action)
