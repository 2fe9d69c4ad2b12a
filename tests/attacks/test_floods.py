"""Attacks on time and memory of the edge, while a client who means well is served: floods, many streams, shut windows, slow requests."""

import contextlib
import socket
import ssl
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from hyperframe.frame import SettingsFrame, WindowUpdateFrame

from envoy_configs.overload import HEAP_BYTES
from tests.attacks import floods
from tests.attacks.attack import Ledger
from tests.attacks.edge import Edge
from tests.attacks.floods import Flood

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
PATH = "/service-1/info"
AT_ONCE = 8
"""Connections of one attack: enough to keep the edge busy, few enough for two processors that also run the attackers."""
STREAMS = 100
FLOOD_ROUNDS = 20_000
SLOWEST_SECONDS = 2.0
"""A request of somebody else meanwhile, at worst; far above what it takes, since the attackers' own Python shares the processors."""
FEWEST_ANSWERS = 20
GROWTH_BYTES = 128 << 20
HEADERS_SECONDS = 10
HELLO_SECONDS = 10


class Bystander:
    """A client over HTTP/2 that asks all the time."""

    def __init__(self, edge: Edge) -> None:
        self.took: list[float] = []
        self.failed: list[str] = []
        self._edge, self._over = edge, threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        with self._edge.client(http2=True) as client:
            while not self._over.is_set():
                began = time.monotonic()
                try:
                    answer = client.get(PATH)
                    self.took.append(time.monotonic() - began)
                    if answer.status_code != httpx.codes.OK:
                        self.failed.append(f"{answer.status_code}")
                except httpx.HTTPError as error:
                    self.failed.append(type(error).__name__)
                time.sleep(0.02)

    def __enter__(self) -> "Bystander":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@contextlib.contextmanager
def unharmed(edge: Edge, ledger: Ledger, family: str, name: str) -> Iterator[None]:
    """Holds what must be true of the edge and of others around an attack, and enters it in the ledger."""
    ledger.failed[family].append(name)
    before, began = edge.statistics(), edge.held_bytes()
    most = [began]
    with Bystander(edge) as bystander:
        yield
        most.append(edge.held_bytes())
        while len(bystander.took) + len(bystander.failed) < FEWEST_ANSWERS:
            time.sleep(0.05)
    after = edge.statistics()
    took = sorted(bystander.took)
    print(
        f"{name}: others had {len(took)} answers, median {statistics.median(took) * 1000:.0f} ms, slowest {took[-1] * 1000:.0f} ms; "
        f"heap {began >> 20} MiB, then {most[-1] >> 20} MiB"
    )
    assert not bystander.failed
    assert took[-1] < SLOWEST_SECONDS
    assert most[-1] < min(HEAP_BYTES, began + GROWTH_BYTES)
    assert int(after["server.uptime"]) >= int(before["server.uptime"]), "the edge was restarted"
    assert after["server.live"] == "1"
    ledger.failed[family].remove(name)
    ledger.refused[family] += 1


@pytest.mark.parametrize("attack", floods.ALL, ids=lambda attack: attack.__name__)
def test_a_flood_of_frames_ends_its_connections_and_no_other(attack: Callable[[Flood], floods.Rounds], edge: Edge, ledger: Ledger) -> None:
    def one() -> int | None:
        flood = Flood(edge.connect("h2"), path=PATH)
        with flood.connection:
            send = flood.send_unread if attack in floods.UNREAD else flood.send
            return send(attack(flood), FLOOD_ROUNDS)

    with unharmed(edge, ledger, "flood", attack.__name__), ThreadPoolExecutor(AT_ONCE) as pool:
        taken = [future.result() for future in [pool.submit(one) for _ in range(AT_ONCE)]]
    print(f"rounds until the edge closed the connection: {taken}")
    assert None not in taken, "the edge took it all"


def test_streams_beyond_the_limit_are_refused(edge: Edge, ledger: Ledger) -> None:
    """Acceptance R9: 1,000 requests that never end, over one connection."""
    with unharmed(edge, ledger, "flood", "1,000 open streams"), edge.connect("h2") as connection:
        flood = Flood(connection, path=PATH)
        with contextlib.suppress(OSError):
            for stream in range(1, 2001, 2):
                connection.sendall(flood.head(stream, ended=False).serialize())
        time.sleep(0.5)
        assert int(edge.statistics()["http.edge-https.downstream_rq_active"]) <= STREAMS + 1, "all of these and the bystander's"


def test_readers_that_never_read_hold_little(edge: Edge, ledger: Ledger) -> None:
    """Zero windows (CVE-2019-9511, -9517): 400 answers that nobody takes, over eight connections."""

    def one() -> ssl.SSLSocket:
        connection = edge.connect("h2")
        flood = Flood(connection, path="/service-1/ws-page")
        connection.sendall(SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 0}).serialize())
        connection.sendall(b"".join(flood.head(stream).serialize() for stream in range(1, 101, 2)))
        return connection

    with unharmed(edge, ledger, "flood", "shut windows"), contextlib.ExitStack() as stack:
        for _ in range(AT_ONCE):
            stack.enter_context(one())
        time.sleep(2)


def test_a_window_that_overflows_ends_the_connection(edge: Edge, ledger: Ledger) -> None:
    with unharmed(edge, ledger, "flood", "a window beyond 2^31"), edge.connect("h2") as connection:
        Flood(connection)
        connection.settimeout(5)
        connection.sendall(WindowUpdateFrame(0, window_increment=(1 << 31) - 1).serialize() * 2)
        assert ends(connection)


def ends(connection: ssl.SSLSocket) -> bool:
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while connection.recv(65536):
            pass
    return True


def test_clients_that_send_slowly_are_cut_off(edge: Edge, ledger: Ledger) -> None:
    """Connections that only connect, that shake hands for ever, and that send a header a second, thirty of each."""

    def silent() -> float:
        with socket.create_connection((edge.host, edge.port)) as plain:
            return until_closed(plain, b"")

    def half_a_hello() -> float:
        with socket.create_connection((edge.host, edge.port)) as plain:
            plain.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            return until_closed(plain, b"\x00")

    def slow_headers() -> float:
        with edge.connect() as connection:
            connection.sendall(f"GET {PATH} HTTP/1.1\r\nhost: edge\r\n".encode())
            return until_closed(connection, b"x-a: b\r\n")

    def slow_headers_of_http2() -> float:
        with edge.connect("h2") as connection:
            flood = Flood(connection, path=PATH)
            connection.sendall(flood.head(1, headers_ended=False).serialize())
            return until_closed(connection, b"", b"request header timeout")

    kinds = {silent: HELLO_SECONDS, half_a_hello: HELLO_SECONDS, slow_headers: HEADERS_SECONDS, slow_headers_of_http2: HEADERS_SECONDS}
    names = ", ".join(kind.__name__ for kind in kinds)
    with unharmed(edge, ledger, "slow", names), ThreadPoolExecutor(30 * len(kinds)) as pool:
        lasted = {kind: [pool.submit(kind) for _ in range(30)] for kind in kinds}
        longest = {kind: max(future.result() for future in futures) for kind, futures in lasted.items()}
    print(", ".join(f"{kind.__name__} {seconds:.1f} s" for kind, seconds in longest.items()))
    for kind, seconds in longest.items():
        assert seconds < kinds[kind] + 4, kind.__name__


def until_closed(connection: socket.socket, more: bytes, words: bytes = b"\0\0 never \0\0") -> float:
    """How long the edge kept it, or was silent on `words`; a little more is sent each second."""
    began = time.monotonic()
    connection.settimeout(1)
    with contextlib.suppress(OSError):
        while time.monotonic() - began < 25:
            connection.sendall(more)
            with contextlib.suppress(TimeoutError):
                received = connection.recv(65536)
                if not received or words in received:
                    break
    return time.monotonic() - began
