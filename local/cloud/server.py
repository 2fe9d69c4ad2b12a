"""The HTTP server of the local cloud: moto's WSGI application behind one lock and a cache of the reads that control planes repeat.

moto is threaded but locks nothing, so requests run one at a time. A describe call costs moto some 10 ms of CPU and
several clients poll every second, so an answer is kept until something changes.
"""

import io
import json
import logging
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

_log = logging.getLogger(__name__)

_MACHINES = "machines"
_REALMS = {"ec2": _MACHINES, "autoscaling": _MACHINES, "s3": "s3"}
"""Services whose reads are cached, and what they have in common: a change in one empties the others' cache."""
_CACHE_LIMIT = 256
_ACTION = re.compile(rb"(?:^|&)Action=(\w+)")
_CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE", "HTTP_RANGE")


@dataclass(frozen=True)
class Answer:
    """A complete HTTP response."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


class Gate:
    """Lets requests into moto one at a time, answers repeated reads itself, and tells when machines may have changed."""

    def __init__(self, application: Callable[..., Any], changed: Callable[[], None]) -> None:
        self.lock = threading.RLock()
        self._application = application
        self._changed = changed
        self._cache: dict[str, dict[object, Answer]] = {realm: {} for realm in _REALMS.values()}

    def answer(self, environ: dict[str, Any], body: bytes) -> Answer:
        service = _service(environ)
        realm = _REALMS.get(service)
        reads = _reads(environ, body)
        key = _key(environ, body)
        if realm and reads and (known := self._cache[realm].get(key)):
            return known
        with self.lock:
            answer = self._ask(environ, body)
            if realm and reads and answer.status < "500":
                if len(self._cache[realm]) >= _CACHE_LIMIT:
                    self._cache[realm].clear()
                self._cache[realm][key] = answer
            elif not reads and (realm or not service):
                self._forget(realm)
        if realm == _MACHINES and not reads:
            self._changed()
        return answer

    def run(self, action: Callable[[], None]) -> None:
        """Changes machines from within: under the lock, with the cache emptied and subscribers told."""
        with self.lock:
            try:
                action()
            finally:
                self._cache[_MACHINES].clear()
        self._changed()

    def _forget(self, realm: str | None) -> None:
        """A change in a realm empties its cache; a request without a signature may have changed any."""
        for name in [realm] if realm else self._cache:
            self._cache[name].clear()

    def _ask(self, environ: dict[str, Any], body: bytes) -> Answer:
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        environ["wsgi.input_terminated"] = True
        started: list[Any] = []
        try:
            chunks = self._application(environ, lambda status, headers, _error=None: started.extend((status, headers)))
            content = b"".join(chunks)
        except Exception as error:
            _log.exception("event=request_failed action=%s", _action(environ, body))
            return _failure(environ, error)
        return Answer(started[0], started[1], content)


def _failure(environ: dict[str, Any], error: Exception) -> Answer:
    """An error of moto's code in the caller's protocol; with status 400, as clients repeat a 500 and it would fail again."""
    text = f"{type(error).__name__}: {error}"
    if "HTTP_X_AMZ_TARGET" in environ:
        body = json.dumps({"__type": "InternalFailure", "message": text})
        return Answer("400 Bad Request", [("Content-Type", "application/x-amz-json-1.1")], body.encode())
    body = f"<Response><Errors><Error><Code>InternalFailure</Code><Message>{escape(text)}</Message></Error></Errors></Response>"
    if _service(environ) != "ec2":
        body = f"<ErrorResponse><Error><Code>InternalFailure</Code><Message>{escape(text)}</Message></Error></ErrorResponse>"
    return Answer("400 Bad Request", [("Content-Type", "text/xml")], body.encode())


def _service(environ: dict[str, Any]) -> str:
    """The service of a request, from the scope of its signature: `…/<region>/<service>/aws4_request`."""
    scope = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].partition(",")[0].split("/")
    return scope[-2] if len(scope) >= 2 else ""


def _action(environ: dict[str, Any], body: bytes) -> str:
    if found := _ACTION.search(body):
        return found[1].decode()
    return str(environ.get("HTTP_X_AMZ_TARGET") or environ["REQUEST_METHOD"])


def _reads(environ: dict[str, Any], body: bytes) -> bool:
    if _service(environ) == "s3":
        return environ["REQUEST_METHOD"] in ("GET", "HEAD")
    return _action(environ, body).startswith("Describe")


def _key(environ: dict[str, Any], body: bytes) -> tuple[object, ...]:
    scope = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].partition(",")[0].split("/")[2:]
    return (environ["REQUEST_METHOD"], environ["RAW_URI"], body, *scope, *(environ.get(name) for name in _CONDITIONS))


def _no_application(_environ: object, _start: object) -> list[bytes]:
    raise AssertionError("requests go to the gate")


class Server:
    """Serves a gate on a free port of 127.0.0.1, a thread per connection, connections kept alive."""

    def __init__(self, gate: Gate) -> None:
        from moto.moto_server.werkzeug_app import MotoRequestHandler
        from werkzeug.serving import make_server

        class Handler(MotoRequestHandler):  # type: ignore[misc]
            """werkzeug's handler closes every connection and waits up to 10 ms before it does; this one reads what was sent and goes on."""

            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def run_wsgi(self) -> None:
                environ = self.make_environ()
                if "wsgi.input_terminated" in environ:
                    body = environ["wsgi.input"].read()
                else:
                    body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer = gate.answer(environ, body)
                self.send_response(int(answer.status.split()[0]))
                for name, value in answer.headers:
                    if name.lower() != "content-length" or self.command == "HEAD":
                        self.send_header(name, value)
                if self.command != "HEAD":
                    self.send_header("Content-Length", str(len(answer.body)))
                    self.end_headers()
                    self.wfile.write(answer.body)
                else:
                    self.end_headers()
                self.wfile.flush()

            def handle_expect_100(self) -> bool:
                """The client waits a second for this line before it sends an object, so it must not stay in the buffer."""
                done: bool = super().handle_expect_100()
                self.wfile.flush()
                return done

            def log_request(self, *_: object) -> None:
                """Requests are not logged: clients poll."""

        self._server: Any = make_server("127.0.0.1", 0, _no_application, threaded=True, request_handler=Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="local-cloud", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
