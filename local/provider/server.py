"""The plugin process's gRPC side: Pulumi's ResourceProvider calls, handed to the engine as plain values."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from local.provider.clients import Clients
from local.provider.diff import Kind
from local.provider.engine import Engine, ProviderError
from local.provider.invokes import INVOKES
from local.provider.table import ROWS
from local.provider.wire import to_plain, to_struct

MAX_MESSAGE = 400 * 1024 * 1024
OPTIONS = [("grpc.max_receive_message_length", MAX_MESSAGE), ("grpc.max_send_message_length", MAX_MESSAGE)]
_KINDS = {Kind.ADD: "ADD", Kind.DELETE: "DELETE", Kind.UPDATE: "UPDATE"}

THREADS = 48
"""Calls at once; the engine runs up to 4 × cores, refreshes more."""

Log = Callable[[str], None]


def start(moto_url: str, region: str, *, port: int = 0, log: Log) -> tuple[grpc.Server, int]:
    """Serves a plugin over one moto server on a port of 127.0.0.1 (0: a free one) and gives that port.

    One plugin an engine call: what it knows of orphans is what the cloud held when it was first asked.
    """
    clients = Clients(moto_url, region)
    server = grpc.server(ThreadPoolExecutor(THREADS, "provider"), options=OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(Engine(ROWS, INVOKES, clients), log), server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    if bound == 0:
        raise ProviderError(f"port {port} of 127.0.0.1 is taken; name another one or 0 for any")
    server.start()
    return server, bound


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """Serves every package on one port: a call names its resource type, so no instance has to know whose it is.

    Secrets arrive unwrapped (we do not accept them) and the engine marks outputs of secret inputs again.
    """

    def __init__(self, engine: Engine, log: Log) -> None:
        self._engine = engine
        self._log = log

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return plugin_pb2.PluginInfo(version="7.51.1")

    def Attach(self, request: Any, context: grpc.ServicerContext) -> Any:
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:
        return empty_pb2.Empty()

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Nothing in a provider's config replaces what it made."""
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:
        region = request.variables.get("aws:config:region")
        if region:
            self._engine.region = region
        return provider_pb2.ConfigureResponse(acceptSecrets=False, supportsPreview=True, acceptResources=False, acceptOutputs=False)

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        def check() -> Any:
            inputs, failures = self._engine.check(request.urn, to_plain(request.olds), to_plain(request.news))
            refused = [provider_pb2.CheckFailure(property=failure.property, reason=failure.reason) for failure in failures]
            return provider_pb2.CheckResponse(inputs=to_struct(inputs), failures=refused)

        return self._answer("check", request.urn, context, check)

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:
        def diff() -> Any:
            old, new, state = to_plain(request.old_inputs), to_plain(request.news), to_plain(request.olds)
            found = self._engine.diff(request.urn, request.id, old, new, state)
            changed = bool(found.changes or found.replaces)
            detailed = {change.path: _property_diff(change.kind, change.path in found.replaces) for change in found.changes}
            for path in found.replaces:
                detailed.setdefault(path, _property_diff(Kind.UPDATE, True))
            return provider_pb2.DiffResponse(
                changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
                replaces=list(found.replaces),
                diffs=sorted({change.root for change in found.changes}),
                deleteBeforeReplace=found.delete_before_replace,
                detailedDiff=detailed,
                hasDetailedDiff=True,
            )

        return self._answer("diff", request.urn, context, diff)

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:
        def create() -> Any:
            resource_id, outputs = self._engine.create(request.urn, to_plain(request.properties), preview=request.preview)
            return provider_pb2.CreateResponse(id=resource_id, properties=to_struct(outputs))

        return self._answer("preview" if request.preview else "create", request.urn, context, create)

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Inputs are given back as they were: what the program wants does not change because the cloud did."""

        def read() -> Any:
            inputs = to_plain(request.inputs)
            outputs = self._engine.read(request.urn, request.id, inputs, to_plain(request.properties))
            if outputs is None:
                return provider_pb2.ReadResponse(id="")
            return provider_pb2.ReadResponse(id=request.id, properties=to_struct(outputs), inputs=to_struct(inputs))

        return self._answer("read", request.urn, context, read)

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:
        def update() -> Any:
            old, new, state = to_plain(request.old_inputs), to_plain(request.news), to_plain(request.olds)
            outputs = self._engine.update(request.urn, request.id, old, new, state, preview=request.preview)
            return provider_pb2.UpdateResponse(properties=to_struct(outputs))

        return self._answer("preview" if request.preview else "update", request.urn, context, update)

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:
        def delete() -> Any:
            self._engine.delete(request.urn, request.id, to_plain(request.old_inputs), to_plain(request.properties))
            return empty_pb2.Empty()

        return self._answer("delete", request.urn, context, delete)

    def Invoke(self, request: Any, context: grpc.ServicerContext) -> Any:
        def invoke() -> Any:
            answer = self._engine.invoke(request.tok, to_plain(request.args))
            response = provider_pb2.InvokeResponse()
            getattr(response, "return").CopyFrom(to_struct(answer))  # a keyword, so no attribute
            return response

        return self._answer("invoke", request.tok, context, invoke)

    def _answer(self, verb: str, subject: str, context: grpc.ServicerContext, call: Callable[[], Any]) -> Any:
        """Runs one call; a failure becomes the text that the user reads under the resource's name."""
        started = time.monotonic()
        outcome = "ok"
        try:
            return call()
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
            context.abort(grpc.StatusCode.UNKNOWN, _message(error, verb))
            raise
        finally:
            self._log(f"verb={verb} ms={(time.monotonic() - started) * 1000:.0f} subject={subject} outcome={outcome!r}")


def _property_diff(kind: Kind, replaces: bool) -> Any:
    name = _KINDS[kind] + ("_REPLACE" if replaces else "")
    return provider_pb2.PropertyDiff(kind=provider_pb2.PropertyDiff.Kind.Value(name), inputDiff=True)


def _message(error: Exception, verb: str) -> str:
    if type(error).__name__ in ("EndpointConnectionError", "ConnectionClosedError", "ConnectTimeoutError"):
        return f"the local cloud does not answer ({error}); its supervisor has stopped: run ./mesh up again"
    if isinstance(error, ProviderError | ValueError) or hasattr(error, "response"):
        return str(error)
    return f"local provider failed to {verb}: {type(error).__name__}: {error}"
