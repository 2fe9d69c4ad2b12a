"""Access logs: one JSON line a request or TCP connection on stdout, with no header, cookie or query that may hold a secret."""

from envoy.config.accesslog.v3.accesslog_pb2 import AccessLog, AccessLogFilter, HeaderFilter, NotHealthCheckFilter
from envoy.config.core.v3.substitution_format_string_pb2 import SubstitutionFormatString
from envoy.config.route.v3.route_components_pb2 import HeaderMatcher
from envoy.extensions.access_loggers.stream.v3.stream_pb2 import StdoutAccessLog
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.struct_pb2 import Struct

from apps.control_plane.resources.protos import pack

HEALTH_CHECKER = "Envoy/HC"
"""User agent of Envoy's active health checks."""

_CONNECTION = {
    "time": "%START_TIME%",
    "listener": "%FILTER_CHAIN_NAME%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "flags": "%RESPONSE_FLAGS%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
    "duration_ms": "%DURATION%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "upstream": "%UPSTREAM_HOST%",
    "upstream_failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
}
_REQUEST = _CONNECTION | {
    "request_id": "%REQ(X-REQUEST-ID)%",
    "method": "%REQ(:METHOD)%",
    "authority": "%REQ(:AUTHORITY)%",
    "path": "%PATH(NQ:ORIG_OR_PATH)%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "upstream_ms": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "route": "%ROUTE_NAME%",
    "user_agent": "%REQ(USER-AGENT)%",
    "tls": "%DOWNSTREAM_TLS_VERSION%",
}


def of_requests(*, with_health_checks: bool) -> AccessLog:
    """A line a request; sidecars leave out the active health checks, which each caller sends every second."""
    log = _stdout(_REQUEST)
    if not with_health_checks:
        log.filter.CopyFrom(
            AccessLogFilter(
                header_filter=HeaderFilter(
                    header=HeaderMatcher(name="user-agent", string_match=StringMatcher(exact=HEALTH_CHECKER), invert_match=True)
                )
            )
        )
    return log


def of_forwarded_requests() -> AccessLog:
    """A line a request of clients; checks are known by the filter that answers them, whatever a client calls itself."""
    log = _stdout(_REQUEST)
    log.filter.CopyFrom(AccessLogFilter(not_health_check_filter=NotHealthCheckFilter()))
    return log


def of_connections() -> AccessLog:
    return _stdout(_CONNECTION)


def _stdout(fields: dict[str, str]) -> AccessLog:
    form = Struct()
    form.update(fields)
    return AccessLog(
        name="envoy.access_loggers.stdout",
        typed_config=pack(StdoutAccessLog(log_format=SubstitutionFormatString(json_format=form))),
    )
