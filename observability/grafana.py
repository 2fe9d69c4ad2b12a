"""Grafana's provisioning: the data source, and an overview dashboard as code. Pure."""

from typing import Any

from model.contract import PROMETHEUS_PORT

SOURCE = "prometheus"
PANELS = (
    ("Requests per second, by service", "sum by (envoy_cluster_name) (rate(envoy_cluster_upstream_rq_total[1m]))", "reqps"),
    (
        "Share of 5xx, by service",
        'sum by (envoy_cluster_name) (rate(envoy_cluster_upstream_rq_xx{envoy_response_code_class="5"}[1m]))'
        " / sum by (envoy_cluster_name) (rate(envoy_cluster_upstream_rq_total[1m]))",
        "percentunit",
    ),
    (
        "Latency, 95th percentile, by service",
        "histogram_quantile(0.95, sum by (le, envoy_cluster_name) (rate(envoy_cluster_upstream_rq_time_bucket[1m])))",
        "ms",
    ),
    ("Healthy endpoints, by service", "min by (envoy_cluster_name) (envoy_cluster_membership_healthy)", "none"),
    ("Retries per second, by service", "sum by (envoy_cluster_name) (rate(envoy_cluster_upstream_rq_retry[1m]))", "reqps"),
    ("Connections at the edge", 'sum by (instance_id) (envoy_http_downstream_cx_active{role=~"edge|outer-edge"})', "none"),
    ("Machines up, by service", 'sum by (service) (up{job="envoy"})', "none"),
    ("Envoys with a control plane", "sum(envoy_control_plane_connected_state)", "none"),
)
"""(title, query, unit)."""


def data_source() -> dict[str, Any]:
    """The provisioning file of the data source."""
    url = f"http://${{MESH_ADDRESS}}:{PROMETHEUS_PORT}"
    source = {"name": "Prometheus", "uid": SOURCE, "type": "prometheus", "access": "proxy", "url": url, "isDefault": True}
    return {"apiVersion": 1, "datasources": [source]}


def dashboard_provider(directory: str) -> dict[str, Any]:
    """The provisioning file that says where dashboards lie."""
    provider = {"name": "mesh", "type": "file", "disableDeletion": True, "options": {"path": directory}}
    return {"apiVersion": 1, "providers": [provider]}


def overview() -> dict[str, Any]:
    """The overview dashboard: the golden signals of every service, and whether the mesh itself is well."""
    return {
        "uid": "mesh-overview",
        "title": "Mesh overview",
        "timezone": "utc",
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "schemaVersion": 39,
        "panels": [_panel(number, *panel) for number, panel in enumerate(PANELS)],
    }


def _panel(number: int, title: str, query: str, unit: str) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": SOURCE}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": source,
        "gridPos": {"x": 12 * (number % 2), "y": 8 * (number // 2), "w": 12, "h": 8},
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "targets": [{"refId": "A", "expr": query, "datasource": source}],
    }
