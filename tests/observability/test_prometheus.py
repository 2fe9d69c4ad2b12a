"""Prometheus' and Alertmanager's files, read by Prometheus' own tool where it is to be had."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.tool_cache import cache_directory
from model.read import read_mesh
from observability import alertmanager, grafana, prometheus, rules

REPO = Path(__file__).resolve().parents[2]
MESH = read_mesh(yaml.safe_load((REPO / "Pulumi.dev.yaml").read_text())["config"]["envoy-mesh:mesh"])


def config(directory: str = "/run/mesh") -> dict[str, Any]:
    return prometheus.config(MESH, stack="dev", region="eu-central-1", directory=directory)


def job(name: str) -> dict[str, Any]:
    (found,) = [job for job in config()["scrape_configs"] if job["job_name"] == name]
    return dict(found)


def filters_of(job: dict[str, Any]) -> dict[str, list[str]]:
    return {item["name"]: item["values"] for item in job["ec2_sd_configs"][0]["filters"]}


def test_every_envoy_of_this_stack_is_found_by_its_tags() -> None:
    found = filters_of(job("envoy"))
    assert found["tag:mesh:stack"] == ["dev"]
    assert found["tag:mesh:role"] == ["edge", "service", "database"]
    assert job("envoy")["ec2_sd_configs"][0]["port"] == 9902
    assert job("envoy")["metrics_path"] == "/stats/prometheus"


def test_outer_edges_are_found_in_their_own_region_and_scraped_like_every_envoy() -> None:
    outer = [{"region": "us-east-1", "cidr": "10.99.0.0/16", "ami": "ami-0123456789abcdef0"}]
    document = MESH.document()
    mesh = read_mesh({**document, "edge": {**document["edge"], "outer": outer}})
    envoys = prometheus.config(mesh, stack="dev", region="eu-central-1", directory="/run/mesh")["scrape_configs"][0]
    here, there = envoys["ec2_sd_configs"]
    assert here["region"] == "eu-central-1"
    assert (there["region"], there["endpoint"], there["port"]) == ("us-east-1", "https://ec2.us-east-1.amazonaws.com", here["port"])
    assert {item["name"]: item["values"] for item in there["filters"]}["tag:mesh:role"] == ["outer-edge"]


def test_control_planes_answer_on_their_console() -> None:
    assert filters_of(job("control-plane"))["tag:mesh:role"] == ["control-plane"]
    assert job("control-plane")["ec2_sd_configs"][0]["port"] == 18001


def test_apps_of_the_samples_are_scraped_through_their_sidecars() -> None:
    assert filters_of(job("app"))["tag:mesh:service"] == ["service-1", "service-2"]
    assert job("app")["ec2_sd_configs"][0]["port"] == 8000


def test_a_scrape_ends_before_the_next_begins() -> None:
    overall = config()["global"]
    assert int(overall["scrape_timeout"].rstrip("s")) < int(overall["scrape_interval"].rstrip("s"))


def test_every_alarm_says_what_it_means() -> None:
    for rule in rules.rules()["groups"][0]["rules"]:
        assert rule["annotations"]["summary"].endswith(".")


def test_every_panel_has_a_query_and_its_own_place() -> None:
    panels = grafana.overview()["panels"]
    assert all(panel["targets"][0]["expr"] for panel in panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)


def test_alarms_have_a_receiver() -> None:
    known = {receiver["name"] for receiver in alertmanager.config()["receivers"]}
    assert alertmanager.config()["route"]["receiver"] in known


def promtool() -> str | None:
    cached = cache_directory() / "prometheus" / "usr" / "bin" / "promtool"
    return shutil.which("promtool") or (str(cached) if cached.exists() else None)


@pytest.mark.skipif(promtool() is None, reason="optional: promtool is neither on PATH nor in the cache; `./mesh up` puts it there")
def test_promtool_accepts_config_rules_and_the_dashboards_queries(tmp_path: Path) -> None:
    text = (
        yaml.safe_dump(config(str(tmp_path))).replace("${MESH_ADDRESS}", "10.20.0.7").replace("${MESH_EC2_ENDPOINT}", "http://127.0.0.1:1")
    )
    panels = {"groups": [{"name": "panels", "rules": [{"record": f"panel:{i}", "expr": p[1]} for i, p in enumerate(grafana.PANELS)]}]}
    (tmp_path / "prometheus.yaml").write_text(text)
    (tmp_path / prometheus.RULES_FILE).write_text(yaml.safe_dump(rules.rules()))
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump(panels))
    for command in (["config", str(tmp_path / "prometheus.yaml")], ["rules", str(tmp_path / "panels.yaml")]):
        done = subprocess.run([str(promtool()), "check", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(promtool() is None, reason="optional: promtool is neither on PATH nor in the cache; `./mesh up` puts it there")
def test_a_certificate_of_the_edge_that_expires_soon_or_is_refused_raises_its_alarm(tmp_path: Path) -> None:
    """Time starts at 0: `default` has 15 days left, of which the first passes; `/team/shop` has a year, and its newest is bad."""
    day = 86400
    (tmp_path / prometheus.RULES_FILE).write_text(yaml.safe_dump(rules.rules()))
    series = {
        'mesh_certificate_expiry_seconds{certificate="default",instance="a"}': f"{15 * day}x1600",
        'mesh_certificate_expiry_seconds{certificate="/team/shop",instance="a"}': f"{365 * day}x1600",
        'mesh_control_plane_certificate_refused{certificate="/team/shop",instance="a"}': "0x10 1x1590",
        'mesh_control_plane_certificate_refused{certificate="default",instance="a"}': "0x1600",
    }

    def alert(name: str, minutes: int, *certificates: str) -> dict[str, Any]:
        (rule,) = [rule for rule in rules.rules()["groups"][0]["rules"] if rule["alert"] == name]
        summary = rule["annotations"]["summary"]
        expected = [
            {
                "exp_labels": {"certificate": certificate, "severity": rule["labels"]["severity"]},
                "exp_annotations": {"summary": summary.replace("{{ $labels.certificate }}", certificate)},
            }
            for certificate in certificates
        ]
        return {"eval_time": f"{minutes}m", "alertname": name, "exp_alerts": expected}

    expires, refused = "EdgeCertificateExpires", "EdgeCertificateRefused"
    test = {
        "rule_files": [str(tmp_path / prometheus.RULES_FILE)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "alert_rule_test": [
                    alert(expires, 1440),
                    alert(expires, 1460, "default"),
                    alert(refused, 9),
                    alert(refused, 20, "/team/shop"),
                ],
            }
        ],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test))
    done = subprocess.run([str(promtool()), "test", "rules", str(tmp_path / "test.yaml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
