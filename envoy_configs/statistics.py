"""Which statistics an Envoy keeps: what dashboards, alarms and drills read; the rest costs memory and scrapes."""

from envoy.config.metrics.v3.stats_pb2 import HistogramBucketSettings, StatsConfig, StatsMatcher
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import ListStringMatcher, StringMatcher

BUCKETS_MS = (1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 15000.0)

_WHOLE = (
    "cluster_manager.",
    "control_plane.",
    "http1.",
    "http2.",
    "listener_manager.",
    "overload.",
    "postgres.",
    "sds.",
    "server.",
    "tcp.",
    "tls_inspector.",
)
"""Families that are small and kept as they are."""

_CLUSTER = (
    r"circuit_breakers\.default\.\w+_open",
    r"ext_(authz|proc)\..+",
    r"grpc(-web)?\..+",
    r"health_check\.(attempt|success|failure|network_failure|healthy)",
    r"http2\.(keepalive_timeout|goaway_sent)",
    r"lb_(healthy_panic|zone_routing_\w+|zone_cluster_too_small)",
    r"membership_(total|healthy|excluded|change)",
    r"outlier_detection\.ejections_(active|overflow|enforced_\w+)",
    r"ratelimit\..+",
    r"ssl\.(handshake|connection_error|fail_verify_\w+)",
    r"update_(success|failure|rejected)",
    r"upstream_cx_(active|total|connect_fail|connect_timeout|destroy_with_active_rq|overflow|[rt]x_bytes_total|none_healthy)",
    r"upstream_rq_(active|total|completed|[1-5]xx|cancelled|maintenance_mode|rx_reset|tx_reset|time|timeout|per_try_timeout)",
    r"upstream_rq_(pending_overflow|pending_failure_eject|retry\w*)",
)
_HTTP = (
    r"(cors|csrf|ext_authz|fault|jwt_authn|ratelimit|rbac|tracing)\..+",
    r"downstream_cx_(active|total|ssl_active|http[12]_(active|total)|idle_timeout|protocol_error|[rt]x_bytes_total)",
    r"downstream_cx_(overload_\w+|upgrades_\w+)",
    r"downstream_rq_(active|total|completed|[1-5]xx|time|timeout|idle_timeout|header_timeout|overload_close|rx_reset|tx_reset)",
    r"downstream_rq_(too_large|non_relative_path|failed_path_normalization|redirected_with_normalized_path|ws_on_non_ws_route)",
    r"no_(route|cluster)",
    r"oauth_\w+",
    r"rds\..+",
)
_LISTENER = (
    r"downstream_cx_(active|total|overflow|overload_reject)",
    r"downstream_global_cx_overflow",
    r"downstream_pre_cx_timeout",
    r"no_filter_chain_match",
    r"server_ssl_socket_factory\..+",
    r"ssl\.(handshake|connection_error|session_reused|no_certificate|fail_verify_\w+|versions\..+|certificate\..+)",
)
_PATTERNS = (
    rf"cluster\.(mesh\.local|[^.]+)\.({'|'.join(_CLUSTER)})",
    rf"http\.(edge-https?|ingress|egress)\.({'|'.join(_HTTP)})",
    rf"listener\.[^.]+\.({'|'.join(_LISTENER)})",
    r"[^.]+\.http_local_rate_limit\..+",
    r".*network_ext_proc\..+",
)


def config() -> StatsConfig:
    """A matcher and coarse histograms."""
    kept = [StringMatcher(prefix=prefix) for prefix in _WHOLE]
    kept += [StringMatcher(safe_regex=RegexMatcher(regex=pattern)) for pattern in _PATTERNS]
    every = StringMatcher(safe_regex=RegexMatcher(regex=".*"))
    return StatsConfig(
        stats_matcher=StatsMatcher(inclusion_list=ListStringMatcher(patterns=kept)),
        histogram_bucket_settings=[HistogramBucketSettings(match=every, buckets=BUCKETS_MS)],
    )
