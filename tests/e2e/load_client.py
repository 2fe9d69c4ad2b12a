"""An open-loop HTTP/1.1 client in a process of its own: requests leave on schedule, whatever became of those before.

`python load_client.py URL --ca FILE --rate R --seconds S [--method POST] [--retry]` prints one JSON object. Bounded in time
and connections; each request has its own id in `x-load-id`. Only loopback addresses are accepted. With `--retry` a request whose
connection breaks is sent once more, on a new one.
"""

import argparse
import asyncio
import ipaddress
import json
import ssl
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httptools

CONNECTIONS = 400
TIMEOUT_SECONDS = 10.0


@dataclass
class Tally:
    """What became of the requests."""

    sent: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    instances: Counter[str] = field(default_factory=Counter)
    first_seen: dict[str, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    retried: int = 0
    seconds: list[float] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)

    def take(self, identity: str, status: int, body: bytes, took: float) -> None:
        self.statuses[str(status)] += 1
        self.seconds.append(took)
        if status != 200:
            self.failures.append(f"{identity}: {status} {body[:80]!r}")
            return
        self.answered.append(identity)
        try:
            instance = str(json.loads(body).get("instance_id"))
        except (ValueError, AttributeError):
            return
        self.instances[instance] += 1
        self.first_seen.setdefault(instance, time.time())


class Connection(asyncio.Protocol):
    """One keep-alive connection; one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.answer: asyncio.Future[tuple[int, bytes]] | None = None
        self.parser = httptools.HttpResponseParser(self)
        self.body = b""
        self.usable = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(ConnectionResetError(f"connection closed before the answer ({exc})"))

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        status = self.parser.get_status_code()
        self.usable = self.usable and self.parser.should_keep_alive()
        body, self.body = self.body, b""
        self.parser = httptools.HttpResponseParser(self)
        if self.answer is not None and not self.answer.done():
            self.answer.set_result((status, body))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        assert self.transport is not None
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await asyncio.wait_for(self.answer, TIMEOUT_SECONDS)


class Client:
    """A bounded pool of connections to one URL."""

    def __init__(self, url: str, ca: str, method: str, *, retry: bool = False) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 443
        if not ipaddress.ip_address(self.host).is_loopback:
            raise SystemExit(f"{self.host} is not a loopback address")
        self.target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self.method = method
        self.retry = retry
        self.tls = ssl.create_default_context(cafile=ca)
        self.tls.set_alpn_protocols(["http/1.1"])
        self.idle: list[Connection] = []
        self.gate = asyncio.Semaphore(CONNECTIONS)
        self.tally = Tally()

    async def open(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, self.host, self.port, ssl=self.tls, server_hostname=self.host)
        return connection

    async def one(self) -> None:
        identity, started = uuid.uuid4().hex, time.monotonic()
        length = "content-length: 2\r\n" if self.method == "POST" else ""
        body = "hi" if self.method == "POST" else ""
        head = f"{self.method} {self.target} HTTP/1.1\r\nhost: {self.host}:{self.port}\r\nx-load-id: {identity}\r\n{length}\r\n{body}"
        async with self.gate:
            try:
                try:
                    status, answer = await self.ask(head.encode(), new=False)
                except ConnectionError:
                    if not self.retry:
                        raise
                    self.tally.retried += 1
                    status, answer = await self.ask(head.encode(), new=True)
                self.tally.take(identity, status, answer, time.monotonic() - started)
            except (OSError, TimeoutError) as error:
                self.tally.statuses["none"] += 1
                self.tally.failures.append(f"{identity}: {type(error).__name__} {error}")

    async def ask(self, request: bytes, *, new: bool) -> tuple[int, bytes]:
        """Sends a request on an idle connection that is still good, or on a new one."""
        while self.idle and not self.idle[-1].usable:
            self.idle.pop()
        connection = self.idle.pop() if self.idle and not new else await asyncio.wait_for(self.open(), TIMEOUT_SECONDS)
        answer = await connection.ask(request)
        if connection.usable:
            self.idle.append(connection)
        return answer

    async def run(self, rate: float, seconds: float) -> None:
        await asyncio.gather(*(self._warm() for _ in range(min(8, CONNECTIONS))))
        started, tasks = time.monotonic(), []
        for number in range(int(rate * seconds)):
            pause = started + number / rate - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            self.tally.sent += 1
            tasks.append(asyncio.create_task(self.one()))
        await asyncio.gather(*tasks)

    async def _warm(self) -> None:
        self.idle.append(await self.open())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--ca", required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--method", default="GET")
    parser.add_argument("--retry", action="store_true")
    words = parser.parse_args()
    client = Client(words.url, words.ca, words.method, retry=words.retry)
    asyncio.run(client.run(words.rate, min(words.seconds, 120)))
    tally = client.tally
    times = sorted(tally.seconds) or [0.0]
    print(
        json.dumps(
            {
                "sent": tally.sent,
                "statuses": tally.statuses,
                "failed": len(tally.failures),
                "failures": tally.failures[:10],
                "retried": tally.retried,
                "instances": tally.instances,
                "first_seen": tally.first_seen,
                "p50_ms": round(times[len(times) // 2] * 1000, 1),
                "p99_ms": round(times[int(len(times) * 0.99)] * 1000, 1),
                "answered": tally.answered if words.method == "POST" else [],
            }
        )
    )


if __name__ == "__main__":
    main()
