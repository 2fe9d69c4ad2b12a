"""The first signal asks a program to stop; it may finish."""

import asyncio
import os
import signal

from apps.common.stop import stop_requested


def test_a_signal_sets_the_event_and_does_not_end_the_process() -> None:
    async def scenario() -> None:
        event = stop_requested()
        assert not event.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(event.wait(), 5)

    asyncio.run(scenario())
