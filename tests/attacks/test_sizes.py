"""Requests that are too large for the edge, and such as it must carry without holding them. Acceptance 22."""

import pytest

from tests.attacks.attack import Answer, Attack, Ledger, ids, judge
from tests.attacks.edge import Edge, pseudo

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
PATH = "/service-2/info"
HEAD = f"GET {PATH} HTTP/1.1\r\nhost: edge\r\n"
POST = f"POST {PATH} HTTP/1.1\r\nhost: edge\r\n"
BODY_BYTES = 48 << 20
HELD_BYTES = 16 << 20
"""What the edge may hold more while a body passes it: windows and buffers, not the body."""
JSON_BYTES = 2 << 20
NEVER_ENDS = "x" * 100_000


def raw(name: str, text: str, must: tuple[int, ...] = (431,), reaches: int = 0) -> Attack:
    def how(edge: Edge) -> Answer:
        answer = edge.send(text.encode()).decode("latin-1")
        return Answer(status=int(answer[9:12] or 0), text=answer)

    return Attack(name=name, how=how, must=must, reaches=reaches)


def http2(name: str, fields: list[tuple[str, str]], must: tuple[int, ...] = (0, 431)) -> Attack:
    def how(edge: Edge) -> Answer:
        status, _, text = edge.http2([*pseudo(edge.authority, PATH), *fields])
        return Answer(status=status, text=text.decode("latin-1"))

    return Attack(name=f"HTTP/2: {name}", how=how, must=must)


def large_body(edge: Edge) -> Answer:
    """The app gets all of it, and the edge never holds it."""
    before = edge.held_bytes()
    most = [before]

    def pieces() -> object:
        for number in range(BODY_BYTES >> 20):
            if number % 16 == 15:
                most.append(edge.held_bytes())
            yield b"x" * (1 << 20)

    with edge.client() as client:
        answer = client.post(PATH, content=pieces(), timeout=60)  # type: ignore[arg-type]
    assert answer.json()["received_bytes"] == BODY_BYTES
    held = max(most) - before
    print(f"a body of {BODY_BYTES >> 20} MiB: the edge held {held / (1 << 20):.1f} MiB more")
    return Answer.of(answer, f"{held} bytes of the edge's memory" if held > HELD_BYTES else "")


ROWS = [
    raw("a header of 70,000 bytes", f"{HEAD}x: {'a' * 70_000}\r\n\r\n"),
    raw("a name of 70,000 bytes", f"{HEAD}{'a' * 70_000}: x\r\n\r\n"),
    raw("70 headers of 1,000 bytes", HEAD + "".join(f"x-{n}: {'a' * 1000}\r\n" for n in range(70)) + "\r\n"),
    raw("101 headers", HEAD + "".join(f"x-{n}: a\r\n" for n in range(101)) + "\r\n"),
    raw("10,000 headers", HEAD + "x: a\r\n" * 10_000 + "\r\n"),
    raw("one header 10,000 times empty", HEAD + "x:\r\n" * 10_000 + "\r\n"),
    raw("cookies of 70,000 bytes", f"{HEAD}cookie: {'a=b; ' * 14_000}\r\n\r\n"),
    raw("a path of 62,000 bytes", f"GET {PATH}/{'x' * 62_000} HTTP/1.1\r\nhost: edge\r\n\r\n", (414, 431)),
    raw("a query of 62,000 bytes", f"GET {PATH}?{'x' * 62_000} HTTP/1.1\r\nhost: edge\r\n\r\n", (414, 431)),
    raw("a method of 100,000 bytes", f"{NEVER_ENDS} / HTTP/1.1\r\nhost: edge\r\n\r\n", (400, 431)),
    raw("a request line that never ends", f"GET /{NEVER_ENDS}", (400, 414, 431)),
    raw("a header that never ends", f"{HEAD}x: {NEVER_ENDS}"),
    raw("a host of 70,000 bytes", f"GET {PATH} HTTP/1.1\r\nhost: {'a' * 70_000}\r\n\r\n"),
    raw("100,000 blank lines before the request", "\r\n" * 100_000 + f"{HEAD}\r\n", (200,), 1),
    raw("a chunk size of 100,000 digits", f"{POST}transfer-encoding: chunked\r\n\r\n{'0' * 100_000}5\r\nhello\r\n0\r\n\r\n", (200,), 1),
    raw("a chunk extension of 100,000 bytes", f"{POST}transfer-encoding: chunked\r\n\r\n5;{NEVER_ENDS}\r\nhello\r\n0\r\n\r\n", (200,), 1),
    raw("trailers of 100,000 bytes", f"{POST}transfer-encoding: chunked\r\n\r\n0\r\nx: {NEVER_ENDS}\r\n\r\n", (0, 400, 413, 431)),
    raw("a length of 2^64-1, one byte sent", f"{POST}content-length: 18446744073709551615\r\n\r\nx", (0, 400, 413)),
    http2("a header of 70,000 bytes in one block", [("x", "a" * 16_000)] * 5),
    http2("101 headers", [(f"x-{n}", "a") for n in range(101)]),
    http2("2,000 empty headers", [(f"x{n}", "") for n in range(2000)]),
    http2("a small block that becomes 4 MB (HPACK bomb)", [("x", "a" * 4000)] * 1000),
    http2("1,000 cookies", [("cookie", "a=b")] * 1000),
    Attack(
        name="2 MiB beside a call of the bridge that takes no body",
        how=lambda edge: Answer.of(
            edge.request("GET", "/grpc-1/v1/info", {"content-type": "application/json"}, content=b'{"a":"' + b"x" * JSON_BYTES + b'"}')
        ),
        must=(200,),
        reaches=1,
    ),
    Attack(name="a body of 48 MiB", how=large_body, must=(200,), reaches=1),
]


@pytest.mark.parametrize(**ids(ROWS))
def test_a_size(attack: Attack, edge: Edge, ledger: Ledger) -> None:
    judge("size", attack, edge, ledger)
