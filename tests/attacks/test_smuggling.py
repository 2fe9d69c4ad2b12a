"""Requests that two parsers might cut in two places. Behind each hides a second one, which no app may see. Acceptance 22."""

import pytest

from tests.attacks.attack import Answer, Attack, Ledger, ids, judge
from tests.attacks.edge import Edge, pseudo

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
HEAD = "POST /service-2/info HTTP/1.1\r\nhost: edge\r\n"
GET = "GET /service-2/info HTTP/1.1\r\nhost: edge\r\n"
HIDDEN = "GET /service-2/hidden HTTP/1.1\r\nhost: edge\r\n\r\n"
CHUNKED = "transfer-encoding: chunked\r\n"
REFUSED = (0, 400, 403, 404, 405, 413, 426, 431, 501)


def raw(name: str, text: str, must: tuple[int, ...] = REFUSED, reaches: int = 0) -> Attack:
    """Bytes over HTTP/1.1; whoever gets two answers, or one from `/hidden`, has smuggled."""

    def how(edge: Edge) -> Answer:
        answer = edge.send(text.encode()).decode("latin-1")
        answers = answer.count("HTTP/1.1 ")
        return Answer(
            status=int(answer[9:12] or 0), text=answer, gained="a second answer" if answers > max(1, reaches) or "/hidden" in answer else ""
        )

    return Attack(name=name, how=how, must=must, reaches=reaches)


def length(value: str, body: str = "") -> str:
    return f"{HEAD}content-length: {value}\r\n\r\n{body}{HIDDEN}"


def coding(line: str) -> str:
    """Both ways to end a body: a length that covers the hidden request, and chunks that end before it."""
    body = f"0\r\n\r\n{HIDDEN}"
    return f"{HEAD}content-length: {len(body)}\r\n{line}\r\n\r\n{body}"


def one(lines: str) -> str:
    """A request whose length covers the hidden one."""
    body = f"0\r\n\r\n{HIDDEN}"
    return f"{HEAD}connection: close\r\ncontent-length: {len(body)}\r\n{lines}\r\n{body}"


BOTH = [
    raw("length and chunks (CL.TE)", coding("transfer-encoding: chunked")),
    raw("chunks and length (TE.CL)", f"{HEAD}{CHUNKED}content-length: 4\r\n\r\n{len(HIDDEN):x}\r\n{HIDDEN}\r\n0\r\n\r\n"),
    *(
        raw(f"length and {line!r}", coding(line))
        for line in (
            "Transfer-Encoding: CHUNKED",
            "transfer-encoding: xchunked",
            "transfer-encoding: chunked, identity",
            "transfer-encoding: identity, chunked",
            "transfer-encoding: chunked\r\ntransfer-encoding: x",
            "transfer-encoding: x\r\ntransfer-encoding: chunked",
            "transfer-encoding:\tchunked",
            "transfer-encoding: \x0bchunked",
            "transfer-encoding: chunked\x00",
            "transfer-encoding: \xa0chunked",
            'transfer-encoding: "chunked"',
            "transfer-encoding: chunked;a=b",
            "transfer-encoding : chunked",
            " transfer-encoding: chunked",
            "x: y\ntransfer-encoding: chunked",
            "transfer-encoding\r\n: chunked",
            "transfer_encoding: chunked",
            "transfer\x00-encoding: chunked",
            "te: chunked\r\ntransfer-encoding: \r\n chunked",
            "content-encoding: chunked\r\ntransfer-encoding: gzip, chunked",
        )
    ),
    raw("chunks without a length, another coding first", f"{HEAD}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
    raw("chunks in HTTP/1.0", f"{HEAD.replace('1.1', '1.0')}{CHUNKED}connection: keep-alive\r\n\r\n0\r\n\r\n{HIDDEN}"),
]
LENGTHS = [
    raw(f"length {value!r}", length(value))
    for value in (
        "-1",
        "+0",
        "0x0",
        "0 0",
        "0,0",
        "0;",
        "0\x00",
        "0\x0b",
        "",
        " ",
        "1e0",
        "18446744073709551615",
        "18446744073709551616",
        "9223372036854775808",
        "1000000000000000",
        "99999999999999999999999",
        "٠",
    )
] + [
    raw("two lengths", f"{HEAD}content-length: 0\r\ncontent-length: {len(HIDDEN)}\r\n\r\n{HIDDEN}"),
    raw("two equal lengths", f"{HEAD}content-length: 0\r\ncontent-length: 0\r\n\r\n{HIDDEN}"),
    raw("length with a blank before the colon", f"{HEAD}content-length : 0\r\n\r\n{HIDDEN}"),
    raw("length of an underscore", f"{HEAD}content_length: 0\r\n\r\n{HIDDEN}"),
]
CHUNKS = [
    raw(f"chunk of {size!r}", f"{HEAD}{CHUNKED}\r\n{size}\r\n{HIDDEN}\r\n0\r\n\r\n")
    for size in ("zz", "-1", "+5", "0x5", " 5", "5 5", "ffffffffffffffff1", "\x005", "", "5\n")
] + [
    raw("chunk without its end", f"{HEAD}{CHUNKED}\r\n5\r\nhelloX0\r\n\r\n{HIDDEN}"),
    raw("chunk with an extension", f"{HEAD}{CHUNKED}connection: close\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n{HIDDEN}", (200,), 1),
    raw("chunk with an extension in quotes", f'{HEAD}{CHUNKED}connection: close\r\n\r\n5;a="\r\n0\r\n\r\n{HIDDEN}"\r\nhello\r\n0\r\n\r\n'),
    raw("chunk whose extension has a bare line feed", f"{HEAD}{CHUNKED}\r\n5;\nhello\r\n0\r\n\r\n{HIDDEN}"),
    raw(
        "trailer that is a length", f"{HEAD}{CHUNKED}connection: close\r\n\r\n0\r\ncontent-length: {len(HIDDEN)}\r\n\r\n{HIDDEN}", (200,), 1
    ),
    raw("trailer without an end", f"{HEAD}{CHUNKED}\r\n0\r\nx: y\r\n{HIDDEN}", (*REFUSED, 200), 1),
]
LINES = [
    raw("a bare line feed in a value", f"{GET}x: a\nhost: other\r\n\r\n{HIDDEN}"),
    raw("a null byte in a name", f"{GET}x\x00y: a\r\n\r\n{HIDDEN}"),
    raw("a null byte in a value", f"{GET}x: a\x00b\r\n\r\n{HIDDEN}"),
    raw("a line without a colon", f"{GET}xy\r\n\r\n{HIDDEN}"),
    raw("a line with no name", f"{GET}: a\r\n\r\n{HIDDEN}"),
    raw("two hosts", f"{GET}host: other\r\n\r\n{HIDDEN}"),
    raw("no host", f"GET /service-2/info HTTP/1.1\r\n\r\n{HIDDEN}"),
    raw("HTTP/9.9", f"{GET.replace('1.1', '9.9')}\r\n{HIDDEN}"),
    raw("HTTP/1.10", f"{GET.replace('1.1', '1.10')}\r\n{HIDDEN}"),
    raw("a preface of HTTP/2", f"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{HIDDEN}"),
    raw("CONNECT with a request behind", f"CONNECT edge HTTP/1.1\r\nhost: edge\r\n\r\n{HIDDEN}"),
    raw("an upgrade with a request behind", f"{GET}connection: upgrade\r\nupgrade: websocket\r\n\r\n{HIDDEN}", REFUSED),
    raw("an expectation that nobody knows", f"{GET}expect: 200-maybe\r\nconnection: close\r\n\r\n", (200, 417), 1),
    raw("a body of GET", f"{GET}content-length: {len(HIDDEN)}\r\nconnection: close\r\n\r\n{HIDDEN}", (200,), 1),
    raw("a request after `connection: close`", f"{GET}connection: close\r\n\r\n{HIDDEN}", (200,), 1),
]

LENIENT = [
    raw("a coding on a folded line is a part of the value before", one("x: y\r\n transfer-encoding: chunked\r\n"), (200,), 1),
    raw("a coding behind a bare carriage return is a part of the value before", one("x: y\rtransfer-encoding: chunked\r\n"), (200,), 1),
    raw(
        "a length on a folded line is the length",
        f"{HEAD}connection: close\r\ncontent-length:\r\n {len(HIDDEN)}\r\n\r\n{HIDDEN}",
        (200,),
        1,
    ),
    raw("a bare line feed ends a line", one("x: y\nz: a\n"), (200,), 1),
    raw("a bare line feed ends a chunk", f"{HEAD}{CHUNKED}connection: close\r\n\r\n5\r\nhello\n0\r\n\r\n{HIDDEN}", (200,), 1),
]
"""What Envoy's parser forgives, in one way only: it writes every request anew as HTTP/2, so no other parser sees these bytes."""


def http2(
    name: str,
    *fields: tuple[str, str | bytes],
    body: bytes | None = None,
    path: str = "/service-2/info",
    must: tuple[int, ...] = (0, 400),
    reaches: int = 0,
) -> Attack:
    """Fields that would mean something else once they are written as HTTP/1.1."""

    def how(edge: Edge) -> Answer:
        head = pseudo(edge.authority, path, "GET" if body is None else "POST")
        taken = {name for name, _ in fields}
        status, _, text = edge.http2([*(field for field in head if field[0] not in taken), *fields], body)
        return Answer(
            status=status,
            text=text.decode("latin-1"),
            gained="another URL" if status == 200 and b'"url":"https://%b/service-2/info"' % edge.authority.encode() not in text else "",
        )

    return Attack(name=f"HTTP/2: {name}", how=how, must=must, reaches=reaches)


LINE_BREAK = f"a\r\n\r\n{HIDDEN}"
HTTP2 = [
    http2("transfer-encoding", ("transfer-encoding", "chunked"), body=b"0\r\n\r\n" + HIDDEN.encode()),
    http2("length too short", ("content-length", "0"), body=HIDDEN.encode(), reaches=1),
    http2("length too long", ("content-length", "1000"), body=b"x", reaches=1),
    http2("two lengths", ("content-length", "1"), ("content-length", "2"), body=b"x"),
    http2("a length that is no number", ("content-length", "1, 1"), body=b"x"),
    http2("a line break in a value", ("x", LINE_BREAK)),
    http2("a line feed in a value", ("x", "a\nhost: other")),
    http2("a carriage return in a value", ("x", "a\rhost: other")),
    http2("a null byte in a value", ("x", "a\x00b")),
    http2("a line break in a name", ("x: a\r\ny", "b")),
    http2("a colon in a name", ("x: a", "b")),
    http2("a blank in a name", ("x y", "b")),
    http2("an empty name", ("", "b")),
    http2("capitals in a name", ("X-Capital", "b")),
    http2("blanks round a value", ("x", " transfer-encoding: chunked "), must=(0, 200, 400), reaches=1),
    http2("a line break in the path", (":path", "/service-2/info HTTP/1.1\r\nhost: a\r\n\r\nGET /service-2/hidden")),
    http2("a line break in the method", (":method", "GET /service-2/hidden HTTP/1.1\r\nhost: a\r\n\r\nGET")),
    http2("a blank in the method", (":method", "GET /service-2/hidden")),
    http2("a line break in the authority", (":authority", "a\r\n\r\nGET /service-2/hidden HTTP/1.1")),
    http2("a line break in the scheme", (":scheme", "https\r\nx: y")),
    http2("another scheme", (":scheme", "ftp"), must=(200,), reaches=1),
    http2("plain HTTP as scheme", (":scheme", "http"), must=(200,), reaches=1),
    http2("connection", ("connection", "close")),
    http2("keep-alive", ("keep-alive", "1")),
    http2("proxy-connection", ("proxy-connection", "close")),
    http2("upgrade", ("upgrade", "websocket")),
    http2("te other than trailers", ("te", "chunked"), must=(0, 200, 400), reaches=1),
    http2("an unknown pseudo-header", (":hidden", "x")),
    http2("a pseudo-header of answers", (":status", "200")),
    http2("a pseudo-header behind others", ("x", "y"), (":path", "/service-2/hidden")),
    http2("no path", (":path", "")),
    http2("CONNECT", (":method", "CONNECT"), must=(0, 400, 403, 404)),
    http2("extended CONNECT to TCP", (":method", "CONNECT"), (":protocol", "connect-tcp"), must=(0, 400, 403, 404)),
]


@pytest.mark.parametrize(**ids(BOTH + LENGTHS + CHUNKS + LINES + LENIENT + HTTP2))
def test_a_hidden_request(attack: Attack, edge: Edge, ledger: Ledger) -> None:
    judge("smuggling", attack, edge, ledger)
