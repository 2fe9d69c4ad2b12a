"""Spellings of guarded paths that might be routed as one thing and guarded as another; and ways round the exemptions. Acceptance 18–20."""

import pytest

from tests.attacks.attack import Answer, Attack, Ledger, ids, judge
from tests.attacks.edge import Edge, pseudo

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
GUARDED = ("/orders", "/account")
NOT_SERVED = (307, 400, 401, 403, 404)

TARGETS = [
    ("plain", "{p}/info"),
    ("no slash behind", "{p}"),
    ("slash behind", "{p}/"),
    ("two slashes before", "/{p}/info"),
    ("four slashes", "////{p}////info"),
    ("a dot before", "/.{p}/info"),
    ("dots after a public prefix", "/service-1/..{p}/info"),
    ("dots after the exemption", "/identity/..{p}/info"),
    ("dots after the callback", "/oauth2/callback/../..{p}/info"),
    ("encoded dots", "/service-1/%2e%2e{p}/info"),
    ("encoded dots in capitals", "/service-1/%2E%2E{p}/info"),
    ("half-encoded dots", "/service-1/.%2e{p}/info"),
    ("dots encoded twice", "/service-1/%252e%252e{p}/info"),
    ("dots and an encoded slash", "/service-1/..%2f{e}/info"),
    ("dots and an encoded backslash", "/service-1/..%5c{e}/info"),
    ("dots and a backslash", "/service-1\\..\\{e}/info"),
    ("dots and a semicolon", "/service-1/..;{p}/info"),
    ("dots and a matrix parameter", "/service-1/..;a=b{p}/info"),
    ("dots and a null byte", "/service-1/..%00{p}/info"),
    ("dots and a blank", "/service-1/..%20{p}/info"),
    ("three dots", "/service-1/...{p}/info"),
    ("overlong dots", "/service-1/%c0%ae%c0%ae{p}/info"),
    ("overlong slashes", "/service-1/..%c0%af{e}/info"),
    ("wide dots", "/service-1/%e3%80%82%e3%80%82{p}/info"),
    ("%u dots", "/service-1/%u002e%u002e{p}/info"),
    ("a letter encoded", "/%6{h}{t}/info"),
    ("a letter encoded twice", "/%256{h}{t}/info"),
    ("an encoded slash before", "/%2f{e}/info"),
    ("an encoded slash inside", "{p}%2finfo"),
    ("an encoded slash inside, twice", "{p}%252finfo"),
    ("a backslash inside", "{p}\\info"),
    ("in capitals", "{P}/info"),
    ("a matrix parameter", "{p};a=b/info"),
    ("a null byte behind", "{p}%00/info"),
    ("a dot behind", "{p}./info"),
    ("a blank behind", "{p}%20/info"),
    ("a line break behind", "{p}%0d%0a/info"),
    ("a longer word", "{p}x/info"),
    ("a public path in the query", "{p}/info?/service-2/info"),
    ("a public path behind #", "{p}/info#/service-2/info"),
    ("a public path behind an encoded ?", "{p}/info%3f/../../service-9/info"),
    ("dots behind that lead back", "{p}/x/../info"),
    ("dots behind that lead out and in", "/service-2/x/../..{p}/info"),
    ("the exemption and an encoded slash", "/identity%2f..%2f{e}/info"),
    ("the exemption and a semicolon", "/identity/..;{p}/info"),
    ("the callback and an encoded slash", "/oauth2/callback%2f..%2f..%2f{e}/info"),
    ("above the root", "/../../..{p}/info"),
    ("a bad escape", "{p}/%zz"),
    ("a letter that is no ASCII", "{p}\xe9/info"),
]

AS_IT_IS = (
    "dots encoded twice",
    "dots and a blank",
    "three dots",
    "overlong dots",
    "overlong slashes",
    "wide dots",
    "%u dots",
)
"""Nothing of HTTP makes these lead out of /service-1, and its app does not know them."""


def written(template: str, prefix: str) -> str:
    first = f"{ord(prefix[1]):x}"
    return template.format(p=prefix, e=prefix[1:], P=prefix.upper(), h=first[1], t=prefix[2:])


def asked(name: str, target: str) -> Attack:
    def how(edge: Edge) -> Answer:
        text = edge.send(f"GET {target} HTTP/1.1\r\nhost: {edge.authority}\r\nconnection: close\r\n\r\n".encode("latin-1")).decode(
            "latin-1"
        )
        return Answer(status=int(text[9:12] or 0), text=text)

    return Attack(name=f"{name}: {target}", how=how, must=(404,) if name in AS_IT_IS else NOT_SERVED, reaches=int(name in AS_IT_IS))


def line(name: str, text: str, must: tuple[int, ...] = NOT_SERVED) -> Attack:
    """A request line and a `host` as they are written; EDGE is the edge's host, PORT its port."""

    def how(edge: Edge) -> Answer:
        sent = text.replace("EDGE", edge.host).replace("PORT", str(edge.port))
        answer = edge.send(f"{sent}\r\nconnection: close\r\n\r\n".encode("latin-1")).decode("latin-1")
        return Answer(status=int(answer[9:12] or 0) if answer.startswith("HTTP/1") else 0, text=answer)

    return Attack(name=name, how=how, must=must)


def http2(name: str, path: str, authority: str = "EDGE:PORT", *more: tuple[str, str], must: tuple[int, ...] = (0, *NOT_SERVED)) -> Attack:
    def how(edge: Edge) -> Answer:
        fields = pseudo(authority.replace("EDGE", edge.host).replace("PORT", str(edge.port)), path)
        status, _, body = edge.http2([*fields, *more])
        return Answer(status=status, text=body.decode("latin-1"))

    return Attack(name=name, how=how, must=must)


HOST = "\r\nhost: EDGE:PORT"
LINES = [
    line("absolute URL", f"GET https://EDGE:PORT/orders/info HTTP/1.1{HOST}"),
    line("absolute URL of plain HTTP", f"GET http://EDGE:PORT/orders/info HTTP/1.1{HOST}"),
    line("absolute URL of another host", f"GET https://other.example/orders/info HTTP/1.1{HOST}"),
    line("absolute URL of loopback", "GET http://127.0.0.1:8080/orders/info HTTP/1.1\r\nhost: 127.0.0.1"),
    line("absolute URL with a name", f"GET https://a@EDGE:PORT/orders/info HTTP/1.1{HOST}"),
    line("no slash before", f"GET orders/info HTTP/1.1{HOST}"),
    line("a blank in the path", f"GET /orders /info HTTP/1.1{HOST}", (0, *NOT_SERVED)),
    line("a tab in the path", f"GET /orders\t/info HTTP/1.1{HOST}"),
    line("two blanks", f"GET  /orders/info HTTP/1.1{HOST}"),
    line("HTTP/1.0", f"GET /orders/info HTTP/1.0{HOST}", (0, *NOT_SERVED, 426)),
    line("HTTP/0.9", "GET /orders/info", (0, *NOT_SERVED, 426)),
    line("OPTIONS *", f"OPTIONS * HTTP/1.1{HOST}"),
    line("host in capitals", "GET /orders/info HTTP/1.1\r\nhost: OTHER.EXAMPLE"),
    line("host with a dot behind", "GET /orders/info HTTP/1.1\r\nhost: EDGE.:PORT"),
    line("host with another port", "GET /orders/info HTTP/1.1\r\nhost: EDGE:9901"),
    line("host with a bad port", "GET /orders/info HTTP/1.1\r\nhost: EDGE:99999999"),
    line("host of the service", "GET /orders/info HTTP/1.1\r\nhost: service-2"),
    line("host of the service in the mesh", "GET /orders/info HTTP/1.1\r\nhost: service-2.local.mesh.internal"),
    line("host of the issuer's cluster", "GET /orders/info HTTP/1.1\r\nhost: identity"),
    *(
        line(f"{method} without a token", f"{method} /orders/info HTTP/1.1{HOST}", (0, *NOT_SERVED))
        for method in ("HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "G%45T")
    ),
]
HTTP2 = [
    http2("HTTP/2: plain", "/orders/info"),
    http2("HTTP/2: dots", "/service-1/../orders/info"),
    http2("HTTP/2: encoded dots", "/service-1/%2e%2e/orders/info"),
    http2("HTTP/2: absolute URL as path", "https://other.example/orders/info"),
    http2("HTTP/2: no slash before", "orders/info"),
    http2("HTTP/2: empty path", ""),
    http2("HTTP/2: a blank in the path", "/orders/info HTTP/1.1"),
    http2("HTTP/2: a line break in the path", "/service-1/info HTTP/1.1\r\nhost: a\r\n\r\nGET /orders/info"),
    http2("HTTP/2: #", "/orders/info#/service-1"),
    http2("HTTP/2: two paths", "/service-9/info", "EDGE:PORT", (":path", "/orders/info")),
    http2("HTTP/2: another authority", "/orders/info", "other.example"),
    http2("HTTP/2: authority and host differ", "/orders/info", "EDGE:PORT", ("host", "other.example")),
    http2("HTTP/2: authority with a name", "/orders/info", "a@EDGE:PORT"),
    http2("HTTP/2: authority with a path", "/orders/info", "EDGE:PORT/service-1"),
    http2("HTTP/2: empty authority", "/orders/info", ""),
]
ROWS = [asked(name, written(template, prefix)) for prefix in GUARDED for name, template in TARGETS] + LINES + HTTP2


@pytest.mark.parametrize(**ids(ROWS))
def test_a_path(attack: Attack, edge: Edge, ledger: Ledger) -> None:
    judge("path", attack, edge, ledger)
