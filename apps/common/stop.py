"""Graceful stop: SIGTERM and SIGINT become one event that a program's main coroutine waits for."""

import asyncio
import signal


def stop_requested() -> asyncio.Event:
    """An event that is set by the first SIGTERM or SIGINT; the second one ends the process as if nobody had caught it."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()

    def stop(number: signal.Signals) -> None:
        event.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    return event
