"""Prometheus' config: it finds every machine by its tags, as the control plane does. Pure."""

from typing import Any

from model.contract import (
    ALERTMANAGER_PORT,
    CONSOLE_PORT,
    INGRESS_PORT,
    METRICS_PORT,
    TAG_ADDRESS,
    TAG_ROLE,
    TAG_SERVICE,
    TAG_STACK,
    Role,
)
from model.spec import MeshSpec

SCRAPE_INTERVAL = "5s"
SCRAPE_TIMEOUT = "4s"
REFRESH_INTERVAL = "15s"
"""How soon a new machine is scraped; each refresh is one DescribeInstances a job."""
ENVOY_ROLES = (Role.EDGE, Role.SERVICE, Role.DATABASE)
RULES_FILE = "prometheus-rules.yaml"
ENDPOINT = "${MESH_EC2_ENDPOINT}"
"""Where EC2's API is; the machine's environment says it, since Prometheus reads no `AWS_ENDPOINT_URL`."""


def config(mesh: MeshSpec, *, stack: str, region: str, directory: str) -> dict[str, Any]:
    """The whole config; `directory` is where the rules file lies on the machine."""
    paths = {name: service.metrics for name, service in mesh.services.items() if service.metrics}
    jobs = [
        _job("envoy", stack, region, METRICS_PORT, roles=ENVOY_ROLES, path="/stats/prometheus", parameters={"usedonly": [""]}),
        _job("control-plane", stack, region, CONSOLE_PORT, roles=(Role.CONTROL_PLANE,), path="/metrics"),
    ]
    for outer in mesh.edge.outer:
        elsewhere = _discovery(stack, outer.region, METRICS_PORT, roles=(Role.OUTER_EDGE,), endpoint=_endpoint_in(mesh, outer.region))
        jobs[0]["ec2_sd_configs"].append(elsewhere)
    if paths:
        apps = _job("app", stack, region, INGRESS_PORT, roles=(Role.SERVICE,), path="/metrics", services=list(paths))
        apps["relabel_configs"] += [
            {"source_labels": ["service"], "regex": name, "target_label": "__metrics_path__", "replacement": path}
            for name, path in paths.items()
        ]
        jobs.append(apps)
    jobs.append({"job_name": "prometheus", "static_configs": [{"targets": ["${MESH_ADDRESS}:9090"]}]})
    return {
        "global": {
            "scrape_interval": SCRAPE_INTERVAL,
            "scrape_timeout": SCRAPE_TIMEOUT,
            "evaluation_interval": SCRAPE_INTERVAL,
            "external_labels": {"stack": stack},
        },
        "rule_files": [f"{directory}/{RULES_FILE}"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"${{MESH_ADDRESS}}:{ALERTMANAGER_PORT}"]}]}]},
        "scrape_configs": jobs,
    }


def _job(
    name: str,
    stack: str,
    region: str,
    port: int,
    *,
    roles: tuple[Role, ...],
    path: str,
    parameters: dict[str, list[str]] | None = None,
    services: list[str] | None = None,
) -> dict[str, Any]:
    return {
        "job_name": name,
        "metrics_path": path,
        **({"params": parameters} if parameters else {}),
        "ec2_sd_configs": [_discovery(stack, region, port, roles=roles, services=services)],
        "relabel_configs": [
            {
                "source_labels": [f"__meta_ec2_tag_{_label(TAG_ADDRESS)}"],
                "regex": "(.+)",
                "target_label": "__address__",
                "replacement": f"$1:{port}",
            },
            {"source_labels": [f"__meta_ec2_tag_{_label(TAG_ROLE)}"], "target_label": "role"},
            {"source_labels": [f"__meta_ec2_tag_{_label(TAG_SERVICE)}"], "target_label": "service"},
            {"source_labels": ["__meta_ec2_availability_zone"], "target_label": "zone"},
            {"source_labels": ["__meta_ec2_instance_id"], "target_label": "instance_id"},
        ],
    }


def _discovery(
    stack: str, region: str, port: int, *, roles: tuple[Role, ...], services: list[str] | None = None, endpoint: str = ENDPOINT
) -> dict[str, Any]:
    filters = [
        {"name": f"tag:{TAG_STACK}", "values": [stack]},
        {"name": f"tag:{TAG_ROLE}", "values": [role.value for role in roles]},
        {"name": "instance-state-name", "values": ["running"]},
    ]
    if services is not None:
        filters.append({"name": f"tag:{TAG_SERVICE}", "values": services})
    return {"region": region, "endpoint": endpoint, "port": port, "refresh_interval": REFRESH_INTERVAL, "filters": filters}


def _endpoint_in(mesh: MeshSpec, region: str) -> str:
    """Each region of AWS has an EC2 API of its own; the local cloud is one for all."""
    return ENDPOINT if mesh.is_local else f"https://ec2.{region}.amazonaws.com"


def _label(tag: str) -> str:
    """Prometheus' form of a tag's name in a label."""
    return "".join(character if character.isalnum() else "_" for character in tag)
