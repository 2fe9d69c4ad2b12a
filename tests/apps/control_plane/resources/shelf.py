"""A gRPC service of shelf.proto, and its messages."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health, health_pb2_grpc

SERVICE = "test.shelf.v1.Shelf"
ERRORS = {
    "nobody": grpc.StatusCode.NOT_FOUND,
    "secret": grpc.StatusCode.PERMISSION_DENIED,
    "bad": grpc.StatusCode.INVALID_ARGUMENT,
    "late": grpc.StatusCode.DEADLINE_EXCEEDED,
    "away": grpc.StatusCode.UNAVAILABLE,
    "broken": grpc.StatusCode.INTERNAL,
}


class Shelf:
    """The service itself, at one address; what is put is on every shelf. `name` is for copies of the proto in other packages."""

    kept: ClassVar[dict[str, int]] = {}

    def __init__(self, address: str, port: int, descriptors: bytes, *, name: str = SERVICE) -> None:
        self.address, self.seen = address, list[tuple[str, dict[str, Any]]]()
        self.server = grpc.server(ThreadPoolExecutor(8))
        health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), self.server)
        types = message_types(descriptors)
        unary = {"Get": self.get, "Put": self.put, "Ping": self.put, "Slow": self.slow}
        inputs = {"Get": "GetRequest", "Slow": "GetRequest", "Put": "Book", "Ping": "Book"}
        self.book = types["Book"]
        handlers = {
            key: grpc.unary_unary_rpc_method_handler(method, types[inputs[key]].FromString, types["Book"].SerializeToString)
            for key, method in unary.items()
        }
        handlers["List"] = grpc.unary_stream_rpc_method_handler(self.list, types["ListRequest"].FromString, types["Book"].SerializeToString)
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
        assert self.server.add_insecure_port(f"{address}:{port}")
        self.server.start()

    def get(self, request: Any, context: Any) -> Any:
        self.seen.append(("Get", dict(context.invocation_metadata())))
        if error := ERRORS.get(request.name):
            context.abort(error, f"{request.name} is refused")
        count = request.count or self.kept.get(request.name, 0)
        return self.book(service=self.address, name=request.name, count=count, shelf=request.shelf.id)

    def put(self, request: Any, context: Any) -> Any:
        self.seen.append(("Put", dict(context.invocation_metadata())))
        self.kept[request.name] = request.count
        return request

    def list(self, request: Any, context: Any) -> Iterator[Any]:
        for number in range(1, request.count + 1):
            yield self.book(service=self.address, count=number)
            time.sleep(request.interval_ms / 1000)

    def slow(self, request: Any, context: Any) -> Any:
        self.seen.append(("Slow", {"left": context.time_remaining()}))
        time.sleep(request.count / 1000)
        return self.book(service=self.address)

    def close(self) -> None:
        self.server.stop(0).wait(5)


def message_types(descriptors: bytes) -> dict[str, Any]:
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(descriptors).file:
        pool.Add(file)
    names = pool.FindFileByName("shelf.proto").message_types_by_name
    return {name: GetMessageClass(descriptor) for name, descriptor in names.items()}
