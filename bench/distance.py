"""TCP relays that answer as late as if they were far away: loopback has no distance, and not every kernel can delay packets."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CHUNK = 65536


class Relay:
    """Passes connections on to one place, as if a round trip to it took `round_trip` seconds.

    Bytes arrive half a round trip after they were sent, either way and in order. A connection's first bytes wait one more
    round trip: the kernel accepts at once here, where a client far away would first wait for the answer to its SYN.
    """

    def __init__(self, target: tuple[str, int], round_trip: float) -> None:
        self._target, self._round_trip = target, round_trip
        self._passing: set[asyncio.Task[None]] = set()

    async def serve(self, address: str, port: int) -> asyncio.Server:
        """Listens."""
        return await asyncio.start_server(self._accept, address, port)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        for source, sink, first in ((reader, back, self._round_trip), (there, writer, 0.0)):
            task = asyncio.create_task(self._pass(source, sink, first))
            self._passing.add(task)
            task.add_done_callback(self._passing.discard)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, first: float) -> None:
        loop = asyncio.get_running_loop()
        opened = loop.time() + first
        while data := await _read(source):
            loop.call_at(max(loop.time(), opened) + self._round_trip / 2, _write, sink, data)
        loop.call_at(max(loop.time(), opened) + self._round_trip / 2, sink.close)


async def _read(source: asyncio.StreamReader) -> bytes:
    try:
        return await source.read(CHUNK)
    except OSError:
        return b""


def _write(sink: asyncio.StreamWriter, data: bytes) -> None:
    if not sink.is_closing():
        sink.write(data)


@contextmanager
def relays(*wanted: tuple[tuple[str, int], tuple[str, int], float]) -> Iterator[None]:
    """Runs relays while the body does: each listens at the first place, leads to the second, and is so many seconds of round trip away."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="relays", daemon=True)
    thread.start()
    try:
        for here, there, round_trip in wanted:
            asyncio.run_coroutine_threadsafe(Relay(there, round_trip).serve(*here), loop).result(5)
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
