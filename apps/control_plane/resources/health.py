"""How a caller's Envoy learns which endpoints to leave out: active checks through the sidecar, and what traffic shows."""

from datetime import timedelta

from envoy.config.cluster.v3.outlier_detection_pb2 import OutlierDetection
from envoy.config.core.v3.health_check_pb2 import HealthCheck
from envoy.config.route.v3.route_components_pb2 import HeaderMatcher
from envoy.extensions.filters.http.health_check.v3.health_check_pb2 import HealthCheck as HealthCheckFilter
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from envoy.type.v3.http_pb2 import CodecClientType
from envoy.type.v3.range_pb2 import Int64Range
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from apps.control_plane.resources.protos import duration, pack
from model.spec import HealthSpec, ServiceSpec

_INTERVAL = timedelta(seconds=1)
_TIMEOUT = timedelta(seconds=2)
_EJECTION = timedelta(seconds=5)
_LONGEST_EJECTION = timedelta(seconds=60)
_FAILURES = 3
_FAR_FAILURES = 2
_LARGEST_EJECTED_PERCENT = 50


def check_of(name: str, service: ServiceSpec) -> HealthCheck:
    """The check of a service: an HTTP path, `grpc.health.v1` or a TCP connect.

    A TCP connect reaches the sidecar, which accepts also while its app is down.
    """
    if service.protocol == "http":
        return http(name, service.health or HealthSpec())
    if service.protocol == "grpc":
        check = _check()
        check.grpc_health_check.authority = name
        return check
    return tcp()


def http(host: str, health: HealthSpec) -> HealthCheck:
    """GET of a path over HTTP/2, which every sidecar speaks."""
    check = _check()
    check.http_health_check.host = host
    check.http_health_check.path = health.path
    check.http_health_check.codec_client_type = CodecClientType.HTTP2
    start, end = (200, 500) if health.expected is None else (health.expected, health.expected + 1)
    check.http_health_check.expected_statuses.append(Int64Range(start=start, end=end))
    return check


def plain_http(host: str, path: str) -> HealthCheck:
    """GET of a path over HTTP/1.1, for a program without a sidecar; it must answer 200."""
    check = _check()
    check.http_health_check.host = host
    check.http_health_check.path = path
    return check


def of_origin(path: str) -> HealthCheck:
    """GET of a path over HTTP/2 in another region: one lost answer is not yet a lost edge."""
    check = _check()
    check.http_health_check.path = path
    check.http_health_check.codec_client_type = CodecClientType.HTTP2
    check.unhealthy_threshold.value = _FAR_FAILURES
    return check


def answer(path: str) -> HttpFilter:
    """Answers such checks by itself, and refuses them once admin was told to fail them.

    A client's request for the same path passes: an outer edge says of each from whom it is, of its own checks it does not.
    """
    headers = [
        HeaderMatcher(name=":path", string_match=StringMatcher(exact=path)),
        HeaderMatcher(name="x-forwarded-for", present_match=False),
    ]
    config = HealthCheckFilter(pass_through_mode=BoolValue(value=False), headers=headers)
    return HttpFilter(name="envoy.filters.http.health_check", typed_config=pack(config))


def tcp() -> HealthCheck:
    check = _check()
    check.tcp_health_check.SetInParent()
    return check


def outliers() -> OutlierDetection:
    """Ejects a host for what its answers show, for five seconds times the number of ejections, whatever the checks say.

    Gateway errors have no lower threshold of their own: one request that an app answers so is sent again up to three times, so
    with two machines it counts twice at each, and any client could take a machine out by asking once. A lone replica is
    never ejected (that is what `always_eject_one_host` would add at 50 %): with no panic mode, three requests that
    fail in the app would close the service to everyone.
    """
    return _ejecting(consecutive_5xx=UInt32Value(value=_FAILURES))


def outliers_by_connection() -> OutlierDetection:
    """Ejects a host for failing connections alone, where an answer says nothing of the host that gave it.

    Of a gRPC service any client can make answers count as failures: an unknown method as 501, a deadline of its own as 504.
    What an origin edge answers is a service's.
    """
    return _ejecting(
        split_external_local_origin_errors=True,
        consecutive_local_origin_failure=UInt32Value(value=_FAILURES),
        enforcing_consecutive_local_origin_failure=UInt32Value(value=100),
        enforcing_local_origin_success_rate=UInt32Value(value=0),
        enforcing_consecutive_5xx=UInt32Value(value=0),
        enforcing_consecutive_gateway_failure=UInt32Value(value=0),
        enforcing_success_rate=UInt32Value(value=0),
    )


def _ejecting(**why: UInt32Value | bool) -> OutlierDetection:
    return OutlierDetection(
        interval=duration(_INTERVAL),
        base_ejection_time=duration(_EJECTION),
        max_ejection_time=duration(_LONGEST_EJECTION),
        max_ejection_percent=UInt32Value(value=_LARGEST_EJECTED_PERCENT),
        successful_active_health_check_uneject_host=BoolValue(value=False),
        **why,
    )


def _check() -> HealthCheck:
    return HealthCheck(
        timeout=duration(_TIMEOUT),
        interval=duration(_INTERVAL),
        no_traffic_interval=duration(_INTERVAL),
        healthy_threshold=UInt32Value(value=1),
        unhealthy_threshold=UInt32Value(value=1),
    )
