"""Headers by which a client would tell apps another sender, address, host, path or time than the edge saw. Acceptance 2, 19, 92."""

from collections.abc import Callable, Sequence

import pytest

from tests.attacks.attack import Answer, Attack, Ledger, ids, judge
from tests.attacks.edge import Edge, pseudo

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
PATH = "/service-2/headers"
FORGED = "forged.example"
DROPPED = (
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-forwarded-proto",
    "x-forwarded-scheme",
    "x-forwarded-ssl",
    "x-forwarded-prefix",
    "x-forwarded-by",
    "x-forwarded-uri",
    "x-forwarded-user",
    "x-forwarded-client-cert",
    "forwarded",
    "x-real-ip",
    "true-client-ip",
    "client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-originating-ip",
    "x-remote-ip",
    "x-remote-addr",
    "x-host",
    "x-original-host",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-scheme",
    "x-url-scheme",
    "front-end-https",
    "remote-user",
    "x-remote-user",
    "via",
    "x-request-id",
    "x-user",
    "x-jwt-payload",
    "x-mesh-expected-rq-timeout-ms",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-external-address",
    "x-envoy-internal",
    "x-envoy-original-path",
    "x-envoy-original-host",
    "x-envoy-original-method",
    "x-envoy-attempt-count",
    "x-envoy-decorator-operation",
    "x-envoy-downstream-service-cluster",
    "x-envoy-downstream-service-node",
    "x-envoy-force-trace",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-ip-tags",
    "x-envoy-max-retries",
    "x-envoy-peer-metadata",
    "x-envoy-retriable-header-names",
    "x-envoy-retriable-status-codes",
    "x-envoy-retry-grpc-on",
    "x-envoy-retry-on",
    "x-envoy-upstream-alt-stat-name",
    "x-envoy-upstream-canary",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-upstream-rq-timeout-alt-response",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-stream-duration-ms",
)
"""The app may see these as the edge or Envoy writes them, and never as the client did."""


def dropped(name: str, headers: Sequence[tuple[str, str]], forged: str = FORGED) -> Attack:
    """Served, and nothing of what was forged is in what the app saw."""

    def how(edge: Edge) -> Answer:
        answer = edge.get(PATH, list(headers))
        seen = answer.json()["headers"] if answer.status_code == 200 else {}
        return Answer.of(answer, str({key: value for key, value in seen.items() if forged in value}.items() or ""))

    return Attack(name=name, how=how, must=(200,), reaches=1)


def kept(name: str, headers: Sequence[tuple[str, str]], check: Callable[[dict[str, str], Edge], bool]) -> Attack:
    """Served, and what the edge says is still there."""

    def how(edge: Edge) -> Answer:
        answer = edge.get(PATH, list(headers))
        seen = answer.json()["headers"] if answer.status_code == 200 else {}
        return Answer.of(answer, str(seen) if seen and not check(seen, edge) else "")

    return Attack(name=name, how=how, must=(200,), reaches=1)


def refused(name: str, headers: Sequence[tuple[str, str]], must: tuple[int, ...], method: str = "GET", path: str = PATH) -> Attack:
    return Attack(name=name, how=lambda edge: Answer.of(edge.request(method, path, list(headers))), must=must)


def client_address(seen: dict[str, str], edge: Edge) -> bool:
    """One address, and not the forged one."""
    return seen["x-forwarded-for"].count(".") == 3 and "1.2.3.4" not in str(seen.values())


def trailers(name: str, *fields: tuple[str, str], must: tuple[int, ...] = (200,), reaches: int = 1) -> Attack:
    """Headers behind the body, which an app might merge with those before it."""

    def how(edge: Edge) -> Answer:
        status, _, body = edge.http2(pseudo(edge.authority, PATH), b"", fields)
        return Answer(status=status, text=body.decode(), gained="x-user" if FORGED in body.decode() else "")

    return Attack(name=name, how=how, must=must, reaches=reaches)


def chunked_trailer(edge: Edge) -> Answer:
    head = f"GET {PATH} HTTP/1.1\r\nhost: {edge.authority}\r\nconnection: close\r\ntransfer-encoding: chunked\r\ntrailer: x-user\r\n\r\n"
    text = edge.send(f"{head}0\r\nx-user: {FORGED}\r\n\r\n".encode()).decode()
    return Answer(status=int(text[9:12] or 0), text=text, gained="x-user" if FORGED in text.partition("\r\n\r\n")[2] else "")


def id_on_a_page(edge: Edge) -> Answer:
    """Of a request that is refused before the edge gives it an id of its own."""
    answer = edge.get("/service-2/%00", [("accept", "text/html"), ("x-request-id", "<script>")])
    return Answer.of(answer, "a script on the edge's page" if "<script>" in answer.text else "")


def h2c(edge: Edge) -> Answer:
    """An upgrade to cleartext HTTP/2 would make the edge a pipe past its own rules."""
    settings = [("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c"), ("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA")]
    answer = edge.get(PATH, settings)
    return Answer.of(answer, "a tunnel" if answer.status_code == 101 else "")


EARLIER = [("x-forwarded-for", "1.2.3.4, 5.6.7.8"), ("x-forwarded-for", "1.2.3.4"), ("forwarded", "for=1.2.3.4"), ("x-real-ip", "1.2.3.4")]
ROWS = [
    *(dropped(name, [(name, FORGED)]) for name in DROPPED),
    *(dropped(f"{name}, twice and in capitals", [(name.upper(), FORGED), (name.title(), FORGED)]) for name in DROPPED[:5]),
    kept("x-forwarded-for of several hops", EARLIER, client_address),
    kept("x-forwarded-proto: http", [("x-forwarded-proto", "http")], lambda seen, _: seen["x-forwarded-proto"] == "https"),
    refused("connection: x-forwarded-for", [("connection", "x-forwarded-for")], (400,)),
    refused("connection: x-forwarded-proto", [("connection", "close, x-forwarded-proto")], (400,)),
    kept("connection: via", [("connection", "via")], lambda seen, _: seen["via"].startswith("1.1 edge/")),
    kept("connection: x-request-id", [("connection", "x-request-id")], lambda seen, _: len(seen["x-request-id"]) == 36),
    Attack(name="x-request-id on an error page", how=id_on_a_page, must=(400,)),
    refused("a port of six digits", [("host", "edge:100000")], (400,)),
    refused("connection: host", [("connection", "host")], (400,)),
    kept(
        "keep-alive and proxy-connection",
        [("keep-alive", "1"), ("proxy-connection", "close")],
        lambda seen, _: not {"keep-alive", "proxy-connection"} & seen.keys(),
    ),
    kept("te: gzip", [("te", "gzip, trailers;q=0.5")], lambda seen, _: seen.get("te") in (None, "trailers")),
    refused("x_user", [("x_user", "root")], (400,)),
    refused("x_forwarded_for", [("x_forwarded_for", "1.2.3.4")], (400,)),
    refused("content_length", [("content_length", "0")], (400,)),
    Attack(name="upgrade: h2c", how=h2c, must=(200, 400, 403, 426), reaches=1),
    refused("upgrade: websocket on a plain route", [("connection", "upgrade"), ("upgrade", "websocket")], (403,)),
    refused("upgrade: TLS/1.0", [("connection", "upgrade"), ("upgrade", "TLS/1.0")], (403,)),
    refused("CONNECT", [], (400, 403, 404, 405), method="CONNECT", path=PATH),
    trailers("HTTP/2 trailers with a claim header", ("x-user", FORGED)),
    trailers("HTTP/2 trailers with a pseudo-header", (":path", "/orders"), must=(0,)),
    trailers("HTTP/2 trailers with `authorization`", ("authorization", f"Bearer {FORGED}")),
    Attack(name="a trailer of chunks with a claim header", how=chunked_trailer, must=(200,), reaches=1),
]


@pytest.mark.parametrize(**ids(ROWS))
def test_a_header(attack: Attack, edge: Edge, ledger: Ledger) -> None:
    judge("header", attack, edge, ledger)
