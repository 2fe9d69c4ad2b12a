"""What a caller's Envoy is told of the services it calls."""

from typing import Any

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.health_check_pb2 import HealthStatus
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions
from envoy.type.v3.http_pb2 import CodecClientType

from apps.control_plane.model import Endpoint, EndpointState
from apps.control_plane.resources import clusters
from apps.control_plane.resources.endpoints import assignment
from model.contract import Role


@pytest.fixture
def cluster_of(spec_of: Any) -> Any:
    def make(**service: Any) -> Cluster:
        return clusters.of_service("web", spec_of(web=service).services["web"])

    return make


def options_of(cluster: Cluster) -> HttpProtocolOptions:
    options = HttpProtocolOptions()
    assert cluster.typed_extension_protocol_options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"].Unpack(options)
    return options


def machine(address: str, *, zone: str = "a", state: EndpointState = EndpointState.SERVING) -> Endpoint:
    return Endpoint(instance=f"i-{address}", role=Role.SERVICE, service="web", address=address, zone=zone, state=state)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_sidecars_are_spoken_to_in_http2_with_the_windows_of_the_checklist(cluster_of: Any, protocol: str) -> None:
    """Acceptance R4, R9."""
    cluster = cluster_of(protocol=protocol)
    http2 = options_of(cluster).explicit_http_config.http2_protocol_options
    assert (http2.initial_stream_window_size.value, http2.initial_connection_window_size.value) == (65536, 1048576)
    assert cluster.per_connection_buffer_limit_bytes.value == 32768


def test_small_groups_are_plain_round_robin_without_panic(cluster_of: Any) -> None:
    """Acceptance 79."""
    cluster = cluster_of()
    assert cluster.lb_policy == Cluster.ROUND_ROBIN
    assert cluster.common_lb_config.zone_aware_lb_config.min_cluster_size.value == 6
    assert cluster.common_lb_config.HasField("healthy_panic_threshold")
    assert cluster.common_lb_config.healthy_panic_threshold.value == 0


def test_a_new_machine_gets_nothing_before_its_first_check(cluster_of: Any) -> None:
    cluster = cluster_of()
    assert cluster.common_lb_config.ignore_new_hosts_until_first_hc
    (check,) = cluster.health_checks
    assert (check.interval.seconds, check.no_traffic_interval.seconds) == (1, 1)
    assert (check.healthy_threshold.value, check.unhealthy_threshold.value) == (1, 1)


def test_a_machine_that_discovery_dropped_is_gone_though_healthy(cluster_of: Any) -> None:
    assert cluster_of().ignore_health_on_host_removal


@pytest.mark.parametrize(
    ("health", "path", "expected"),
    [(None, "/", (200, 500)), ({"path": "/health"}, "/health", (200, 500)), ({"path": "/up", "expected": 204}, "/up", (204, 205))],
)
def test_an_http_service_is_checked_on_its_path(cluster_of: Any, health: Any, path: str, expected: tuple[int, int]) -> None:
    """Acceptance 178."""
    check = cluster_of(**({"health": health} if health else {})).health_checks[0].http_health_check
    (statuses,) = check.expected_statuses
    assert (check.path, (statuses.start, statuses.end)) == (path, expected)
    assert check.codec_client_type == CodecClientType.HTTP2
    assert check.host == "web"


@pytest.mark.parametrize(("protocol", "checker"), [("grpc", "grpc_health_check"), ("tcp", "tcp_health_check")])
def test_other_protocols_are_checked_in_their_own_way(cluster_of: Any, protocol: str, checker: str) -> None:
    """Acceptance 179."""
    assert cluster_of(protocol=protocol).health_checks[0].WhichOneof("health_checker") == checker


def test_tcp_connections_to_a_dead_machine_are_closed_and_http_requests_are_not(cluster_of: Any) -> None:
    assert cluster_of(protocol="tcp").close_connections_on_host_health_failure
    assert clusters.of_database().close_connections_on_host_health_failure
    assert not cluster_of().close_connections_on_host_health_failure


def test_retries_are_not_limited_to_envoys_three(cluster_of: Any) -> None:
    assert cluster_of().circuit_breakers.thresholds[0].max_retries.value == 1024


def test_outliers_leave_and_at_least_half_stays(cluster_of: Any) -> None:
    """Acceptance 77."""
    outliers = cluster_of().outlier_detection
    assert outliers.consecutive_5xx.value == 3
    assert not outliers.HasField("enforcing_consecutive_gateway_failure")
    assert outliers.max_ejection_percent.value == 50
    assert not outliers.always_eject_one_host.value


def test_the_app_is_spoken_to_in_its_own_protocol() -> None:
    assert (
        options_of(clusters.of_app("127.0.0.1", 8080, "http")).explicit_http_config.WhichOneof("protocol_config") == "http_protocol_options"
    )
    assert (
        options_of(clusters.of_app("127.0.0.1", 1, "grpc")).explicit_http_config.WhichOneof("protocol_config") == "http2_protocol_options"
    )
    assert not clusters.of_app("127.0.0.1", 5433, "tcp").typed_extension_protocol_options


def test_machines_are_grouped_by_zone_and_draining_ones_marked() -> None:
    result = assignment(
        "web", [machine("10.0.0.9", zone="b"), machine("10.0.0.10"), machine("10.0.0.2", state=EndpointState.DRAINING)], 8000
    )
    seen = [
        (
            group.locality.zone,
            [(host.endpoint.address.socket_address.address, HealthStatus.Name(host.health_status)) for host in group.lb_endpoints],
        )
        for group in result.endpoints
    ]
    assert seen == [("a", [("10.0.0.2", "DRAINING"), ("10.0.0.10", "UNKNOWN")]), ("b", [("10.0.0.9", "UNKNOWN")])]
    assert {host.endpoint.address.socket_address.port_value for group in result.endpoints for host in group.lb_endpoints} == {8000}


def test_the_order_of_discovery_does_not_matter() -> None:
    machines = [machine(f"10.0.0.{number}", zone="ab"[number % 2]) for number in range(1, 7)]
    forward, backward = assignment("web", machines, 8000), assignment("web", reversed(machines), 8000)
    assert forward.SerializeToString(deterministic=True) == backward.SerializeToString(deterministic=True)


def test_a_grpc_machine_is_not_ejected_for_what_its_callers_got_wrong(cluster_of: Any) -> None:
    """An unknown method is a 501 to Envoy, a deadline of the caller's own a 504; what says that it is gone is the connection."""
    outliers = cluster_of(protocol="grpc").outlier_detection
    assert outliers.split_external_local_origin_errors
    assert outliers.consecutive_local_origin_failure.value == 3
    assert outliers.enforcing_consecutive_5xx.value == outliers.enforcing_consecutive_gateway_failure.value == 0
    assert outliers.HasField("enforcing_consecutive_5xx")
    assert outliers.HasField("enforcing_consecutive_gateway_failure")
    assert outliers.max_ejection_percent.value == 50
