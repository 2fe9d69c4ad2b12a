"""Prometheus' alarms: few, each with what it means. Pure."""

from typing import Any

RULES = (
    ("MachineDown", 'up{job="envoy"} == 0', "30s", "The Envoy of {{ $labels.service }} on {{ $labels.instance }} answers no scrape."),
    (
        "ControlPlaneDown",
        'up{job="control-plane"} == 0',
        "30s",
        "Control plane {{ $labels.instance }} answers no scrape; Envoys keep what they have.",
    ),
    (
        "NoControlPlane",
        "max by (service, instance) (envoy_control_plane_connected_state) == 0",
        "1m",
        "The Envoy of {{ $labels.service }} on {{ $labels.instance }} has no control plane; it serves what it knows.",
    ),
    (
        "ConfigRejected",
        'sum by (service) (increase({__name__=~"envoy_(cluster_manager_cds|listener_manager_lds|http_rds)_update_rejected"}[5m])) > 0',
        "0s",
        "Envoys of {{ $labels.service }} refused a config; the last good one goes on serving.",
    ),
    (
        "DocumentRefused",
        "max(mesh_control_plane_document_refused) > 0",
        "10s",
        "The newest mesh document is not the one that is served; the control planes' logs say why.",
    ),
    (
        "ServerErrors",
        'sum by (envoy_cluster_name) (rate(envoy_cluster_upstream_rq_xx{envoy_response_code_class="5"}[2m]))'
        " / sum by (envoy_cluster_name) (rate(envoy_cluster_upstream_rq_total[2m])) > 0.05",
        "2m",
        "More than 5 % of the requests to {{ $labels.envoy_cluster_name }} fail.",
    ),
    (
        "NoHealthyEndpoint",
        "min by (envoy_cluster_name) (envoy_cluster_membership_healthy) == 0"
        " and min by (envoy_cluster_name) (envoy_cluster_membership_total) > 0",
        "30s",
        "A sidecar or edge sees no healthy endpoint of {{ $labels.envoy_cluster_name }}.",
    ),
    (
        "EdgeCertificateExpires",
        "min by (certificate) (mesh_certificate_expiry_seconds) - time() < 14 * 86400",
        "10m",
        "The edge's certificate {{ $labels.certificate }} expires within 14 days: renew the one in SSM, edges take it by themselves.",
    ),
    (
        "EdgeCertificateRefused",
        "max by (certificate) (mesh_control_plane_certificate_refused) > 0",
        "1m",
        "The newest of the edge's certificate {{ $labels.certificate }} cannot be shown; the control planes' logs say why.",
    ),
    (
        "CertificateExpires",
        "min by (service) (envoy_server_days_until_first_cert_expiring) < 30",
        "1h",
        "A certificate of {{ $labels.service }} expires within 30 days: `pulumi up` renews it, new machines read it.",
    ),
)
"""(name, expression, for how long, what it means)."""


def rules() -> dict[str, Any]:
    """The rules file."""
    group = [
        {"alert": name, "expr": expression, "for": lasting, "labels": {"severity": "page"}, "annotations": {"summary": summary}}
        for name, expression, lasting, summary in RULES
    ]
    return {"groups": [{"name": "mesh", "rules": group}]}
