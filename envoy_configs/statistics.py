"""Which statistics an Envoy keeps, and their labels: what dashboards, alarms and drills read; the rest costs memory and scrapes.

A scrape with `?usedonly` shows of these what has ever moved.
"""

from envoy.config.metrics.v3.stats_pb2 import HistogramBucketSettings, StatsConfig, StatsMatcher, TagSpecifier
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import ListStringMatcher, StringMatcher
from google.protobuf.wrappers_pb2 import BoolValue

BUCKETS_MS = (1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1000.0, 5000.0)

_CLUSTER = (
    r"circuit_breakers\.default\.(cx|rq|rq_pending|rq_retry)_open",
    r"ext_(authz|proc)\..+",
    r"grpc(-web)?\..+",
    r"health_check\.failure",
    r"http2\.keepalive_timeout",
    r"lb_zone_routing_cross_zone",
    r"membership_(total|healthy)",
    r"outlier_detection\.ejections_(active|enforced_(total|consecutive_(5xx|gateway_failure|local_origin_failure)))",
    r"ratelimit\..+",
    r"ssl\.(handshake|connection_error|fail_verify_\w+)",
    r"update_(success|rejected)",
    r"upstream_cx_(active|total|connect_fail|[rt]x_bytes_total)",
    r"upstream_rq_(active|total|[1-5]xx|rx_reset|time|timeout|pending_overflow|retry|retry_success|retry_overflow)",
)
_HTTP = (
    r"(cors|csrf|ext_authz|fault|jwt_authn|ratelimit|rbac)\..+",
    r"downstream_cx_(active|total|http[12]_total|protocol_error|upgrades_\w+)",
    r"downstream_rq_(active|total|completed|[1-5]xx|time|timeout|rx_reset|tx_reset|too_large)",
    r"no_route",
    r"rds\..+\.(config_reload|update_success|update_rejected|version_text)",
)
_EDGE_HTTP = (
    *_HTTP,
    r"downstream_rq_(header_timeout|overload_close|redirected_with_normalized_path|ws_on_non_ws_route)",
    r"oauth_\w+",
)
_LISTENER = (
    r"downstream_cx_(active|overflow)",
    r"ssl\.(handshake|connection_error|no_certificate|fail_verify_\w+)",
)
_EDGE_LISTENER = (
    *_LISTENER,
    r"downstream_cx_overload_reject|downstream_global_cx_overflow",
    r"server_ssl_socket_factory\..+",
    r"ssl\.(session_reused|versions\..+|certificate\..+)",
)
_SERVER = (
    r"concurrency|days_until_first_cert_expiring|dynamic_unknown_fields|envoy_bug_failures|hot_restart_epoch|live|state",
    r"memory_(allocated|heap_size|physical_size)|total_connections|uptime|version|worker_watchdog_mega_miss",
)
_KEPT = (
    rf"cluster\.[^.]+\.({'|'.join(_CLUSTER)})",
    r"cluster_manager\.((active|warming)_clusters|cds\..+)",
    r"control_plane\..+",
    r"http[12]\.(requests_rejected_with_underscores_in_headers|header_overflow|outbound_(control_)?flood|inbound_\w+_flood)",
    rf"http\.edge-(https?|origin)\.({'|'.join(_EDGE_HTTP)})",
    rf"http\.(ingress|egress)\.({'|'.join(_HTTP)})",
    rf"listener\.edge-(https?|origin)\.({'|'.join(_EDGE_LISTENER)})",
    rf"listener\.(ingress|egress|postgres|tcp-[^.]+)\.({'|'.join(_LISTENER)})",
    r"listener_manager\.(total_listeners_(active|warming|draining)|listener_create_failure|lds\..+)",
    r"[^.]+\.http_local_rate_limit\..+",
    r".*network_ext_proc\..+",
    r"overload\..+\.(active|scale_percent|pressure)",
    r"postgres\..+",
    r"sds\..+",
    rf"server\.({'|'.join(_SERVER)})",
    r"tcp\.[^.]+\.(downstream_cx_([rt]x_bytes_total|total|no_route|overload_close)|idle_timeout)",
    r"tls_inspector\.(alpn_found|alpn_not_found|sni_found|sni_not_found|tls_found|tls_not_found|connection_closed)",
)

_DEFAULT_LABELS = (
    "envoy.cluster_name",
    "envoy.http_conn_manager_prefix",
    "envoy.listener_address",
    "envoy.local_http_ratelimit_prefix",
    "envoy.ratelimit_prefix",
    "envoy.rds_route_config",
    "envoy.response_code_class",
    "envoy.ssl_cipher",
    "envoy.ssl_version",
    "envoy.tcp_prefix",
    "envoy.tls_certificate",
)
"""Those of Envoy's own that our statistics have."""
_LABELS = {
    # Envoy's own two take a service for a method when its name has a package, as in `pkg.Service`.
    "envoy.grpc_bridge_service": r"^cluster\.[^.]+\.grpc(?:-web)?\.((.+)\.)[^.]+\.[^.]+$",
    "envoy.grpc_bridge_method": r"^cluster\.[^.]+\.grpc(?:-web)?\..+\.(([^.]+)\.)[^.]+$",
    "envoy.postgres_prefix": r"^postgres\.((.+?)\.)",
}


def config() -> StatsConfig:
    """A matcher, labels and coarse histograms."""
    kept = [StringMatcher(safe_regex=RegexMatcher(regex=pattern)) for pattern in _KEPT]
    every = StringMatcher(safe_regex=RegexMatcher(regex=".*"))
    labels = [TagSpecifier(tag_name=name) for name in _DEFAULT_LABELS]
    labels += [TagSpecifier(tag_name=name, regex=regex) for name, regex in _LABELS.items()]
    return StatsConfig(
        stats_matcher=StatsMatcher(inclusion_list=ListStringMatcher(patterns=kept)),
        histogram_bucket_settings=[HistogramBucketSettings(match=every, buckets=BUCKETS_MS)],
        use_all_default_tags=BoolValue(value=False),
        stats_tags=labels,
    )
