"""The standard gRPC health check: a server that answers is serving."""

from grpc import StatusCode
from grpc_health.v1.health_pb2 import HealthCheckResponse

from apps.control_plane.transport import GrpcStream
from apps.control_plane.wire import frame

SERVING = frame(HealthCheckResponse(status=HealthCheckResponse.SERVING).SerializeToString())


class HealthCheck:
    """The handler of one `Check` call."""

    def __init__(self, grpc: GrpcStream) -> None:
        self._grpc = grpc

    def on_message(self, message: bytes) -> None:
        self._grpc.send(SERVING)
        self._grpc.finish(StatusCode.OK)

    def on_writable(self) -> None:
        """An answer of seven bytes is never held back."""

    def on_end(self) -> None:
        self._grpc.finish(StatusCode.OK)

    def on_close(self) -> None:
        """Holds nothing."""
