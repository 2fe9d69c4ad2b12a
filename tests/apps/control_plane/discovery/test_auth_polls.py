"""The issuer's endpoints over real HTTP, the secrets of logins out of a moto server; what fails changes nothing."""

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from apps.control_plane.discovery.auth_polls import IssuerPoll, LoginSecretsPoll, auth_of
from apps.control_plane.discovery.child import ChildDiscovery
from apps.control_plane.discovery.reports import FaultReport, IssuerReport, LoginSecretsReport, Report
from model import contract


class Issuer:
    """A discovery document over HTTP."""

    def __init__(self) -> None:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = issuer.body if self.path == "/tenant/.well-known/openid-configuration" else b"{}"
                self.send_response(issuer.status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/tenant"
        self.status = 200
        self.body = b""
        self.say()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def say(self, **changed: Any) -> None:
        base = "https://login.example.com"
        said = {"issuer": self.url, "jwks_uri": f"{base}/jwks", "authorization_endpoint": f"{base}/a", "token_endpoint": f"{base}/t"}
        self.body = json.dumps(said | changed).encode()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.server.shutdown()
    issuer.server.server_close()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"mesh": {"edge": {}}}', '{"mesh": {"edge": {"auth": null}}}', "x"])
def test_a_document_without_auth_asks_nobody(text: str) -> None:
    assert auth_of(text) == {}
    assert IssuerPoll().poll(auth_of(text)) is None
    assert LoginSecretsPoll(None, stack="t").poll(auth_of(text)) is None


def test_the_issuer_is_told_once_and_again_when_it_changes(issuer: Issuer) -> None:
    poll, auth = IssuerPoll(), {"issuer": issuer.url}
    assert not poll.knows(auth)
    found = poll.poll(auth)
    assert isinstance(found, IssuerReport)
    assert (found.issuer, found.jwks_uri, found.end_session_endpoint) == (issuer.url, "https://login.example.com/jwks", "")
    assert poll.knows(auth)
    assert poll.poll(auth) is None
    issuer.say(jwks_uri="https://login.example.com/new")
    again = poll.poll(auth)
    assert isinstance(again, IssuerReport)
    assert again.jwks_uri == "https://login.example.com/new"


@pytest.mark.parametrize("auth", [{"issuer": "builtin"}, {"issuer": "https://127.0.0.1:1/x", "jwks": "https://a.example/jwks"}])
def test_what_is_known_or_written_out_is_not_asked_for(auth: dict[str, Any]) -> None:
    assert IssuerPoll().poll(auth) is None


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"issuer": "https://evil.example"}, "the two must be the same"),
        ({"jwks_uri": "http://evil.example/jwks"}, "over https only"),
        ({"jwks_uri": "http://127.evil.example/jwks"}, "over https only"),
        ({"jwks_uri": "https://login.example.com:abc/jwks"}, "and to a host and port that are such"),
        ({"token_endpoint": "file:///etc/passwd"}, "over https only"),
        ({"jwks_uri": None}, "no jwks_uri"),
        ({"padding": "x" * 300_000}, "more than"),
    ],
)
def test_a_document_that_cannot_be_used_is_a_fault(issuer: Issuer, changed: dict[str, Any], text: str) -> None:
    issuer.say(**changed)
    poll = IssuerPoll()
    found = poll.poll({"issuer": issuer.url})
    assert isinstance(found, FaultReport)
    assert text in found.text
    assert poll.last is None


def test_an_issuer_that_fails_leaves_the_last_good_answer(issuer: Issuer) -> None:
    poll, auth = IssuerPoll(), {"issuer": issuer.url}
    first = poll.poll(auth)
    issuer.status = 503
    assert isinstance(poll.poll(auth), FaultReport)
    assert poll.last == first
    assert isinstance(IssuerPoll().poll({"issuer": "http://127.0.0.1:1"}), FaultReport)


@pytest.mark.components
def test_secrets_come_whole_from_the_names_of_the_config(stack: Any) -> None:
    poll, auth = LoginSecretsPoll(stack.ssm, stack="t"), {"login": {"clientSecret": "/team/secret"}}
    put = stack.ssm.put_parameter
    put(Name="/team/secret", Value="c-1", Type="SecureString")
    fault = poll.poll(auth)
    assert isinstance(fault, FaultReport)
    assert fault.text == "no parameter /envoy-mesh/t/edge/login/cookie-key"
    put(Name=contract.login_parameter("t", "cookie-key"), Value="k-1", Type="SecureString")
    assert poll.poll(auth) == LoginSecretsReport(client_secret="c-1", cookie_key="k-1")
    assert poll.poll(auth) is None
    put(Name=contract.login_parameter("t", "client-secret"), Value="own", Type="SecureString")
    assert poll.poll({"login": {}}) == LoginSecretsReport(client_secret="own", cookie_key="k-1")


@pytest.mark.components
def test_the_child_tells_both_soon_after_the_document(stack: Any, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in stack.environment.items():
        monkeypatch.setenv(name, value)
    for item in ("client-secret", "cookie-key"):
        stack.ssm.put_parameter(Name=contract.login_parameter("t", item), Value=item, Type="SecureString")
    stack.write_document(json.dumps({"schema": 1, "mesh": {"edge": {"auth": {"issuer": issuer.url, "login": {"clientId": "mesh"}}}}}))
    words = ["--stack=t", "--bucket=mesh-t", "--sweep-seconds=1", "--document-seconds=0.2", "--drain-seconds=1"]
    command = [sys.executable, "-m", "apps.control_plane.discovery.aws", *words]

    async def scenario() -> None:
        wanted, heard = {IssuerReport, LoginSecretsReport}, asyncio.Event()

        def hear(report: Report) -> None:
            wanted.discard(type(report))
            if not wanted:
                heard.set()

        task = asyncio.create_task(ChildDiscovery(command, restarted=lambda: None).run(hear))
        try:
            await asyncio.wait_for(heard.wait(), 15)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scenario())
