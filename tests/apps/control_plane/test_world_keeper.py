"""What discovery reports becomes one world; what cannot be used changes nothing and is counted."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from apps.control_plane import world_keeper
from apps.control_plane.discovery.reports import (
    DeedReport,
    DocumentReport,
    EdgeTlsReport,
    EndpointsReport,
    FaultReport,
    IssuerReport,
    LoginSecretsReport,
    Sighting,
    SweepReport,
)
from apps.control_plane.document_trial import TRIAL_SECONDS
from apps.control_plane.metrics import Metrics
from apps.control_plane.model import EndpointState, TlsKeyPair
from apps.control_plane.world_keeper import WorldKeeper
from model import contract

WEB: dict[str, Any] = {"image": {"build": "apps/http_service"}, "port": 8080}


def document(**services: Any) -> DocumentReport:
    mesh = {"domain": "t.internal", "network": {"cidr": "127.20.0.0/16"}, "services": {"web": WEB, **services}}
    return DocumentReport(text=json.dumps({"schema": 1, "stack": "t", "mesh": mesh}))


def endpoints(*draining: bool) -> EndpointsReport:
    return EndpointsReport(
        endpoints=tuple(
            Sighting(instance=f"i-{number}", role="service", service="web", address=f"127.20.0.{number}", zone="a", draining=state)
            for number, state in enumerate(draining, 1)
        )
    )


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def keeper(registry: CollectorRegistry) -> WorldKeeper:
    return WorldKeeper(stack="t", metrics=Metrics(registry=registry))


def value(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return registry.get_sample_value(f"mesh_control_plane_{name}", labels) or 0.0


def test_a_world_needs_a_document_and_machines(keeper: WorldKeeper, certified: Callable[..., TlsKeyPair]) -> None:
    assert keeper.world is None
    keeper.hear(document())
    assert keeper.world is None
    keeper.hear(endpoints(False, True))
    world = keeper.world
    assert world is not None
    assert [item.state for item in world.endpoints] == [EndpointState.SERVING, EndpointState.DRAINING]
    assert world.edge_tls is None
    assert not keeper.hear(EdgeTlsReport(path=contract.edge_tls_path("t"), chain="c", key="k"))
    pair = certified()
    assert keeper.hear(EdgeTlsReport(path=contract.edge_tls_path("t"), chain=pair.chain, key=pair.key))
    assert keeper.world is not None
    assert keeper.world.edge_tls == pair


def test_the_issuer_and_the_secrets_of_logins_are_kept(keeper: WorldKeeper) -> None:
    keeper.hear(document())
    keeper.hear(endpoints(False))
    told = IssuerReport(issuer="i", jwks_uri="j", authorization_endpoint="a", token_endpoint="t", end_session_endpoint="e")
    assert keeper.hear(told)
    assert keeper.hear(LoginSecretsReport(client_secret="c", cookie_key="k"))
    assert keeper.world is not None
    assert keeper.world.issuer is not None
    assert (keeper.world.issuer.jwks_uri, keeper.world.issuer.end_session_endpoint) == ("j", "e")
    assert keeper.world.login_secrets is not None
    assert keeper.world.login_secrets.cookie_key == "k"


def test_machines_without_a_document_make_no_world(keeper: WorldKeeper) -> None:
    keeper.hear(endpoints(False))
    assert keeper.world is None


def test_only_what_changes_the_world_says_so(keeper: WorldKeeper) -> None:
    assert keeper.hear(document())
    assert not keeper.hear(document())
    assert keeper.hear(endpoints(False))
    assert not keeper.hear(endpoints(False))
    assert keeper.hear(endpoints(True))
    assert not keeper.hear(SweepReport(seconds=0.1, cpu_seconds=1))
    assert not keeper.hear(FaultReport(api="ec2:DescribeInstances", code="Throttling", text="slow"))
    assert not keeper.hear(DeedReport(deed="complete", hook="drain", group="g", instance="i-1"))


@pytest.mark.parametrize(
    ("text", "outcome"),
    [('{"schema": 2, "stack": "t", "mesh": {}}', "schema"), ("{", "broken"), ('{"schema": 1, "stack": "t", "mesh": {}}', "invalid")],
)
def test_a_refused_document_leaves_the_last_good_one_and_raises_the_alarm(
    keeper: WorldKeeper, registry: CollectorRegistry, text: str, outcome: str
) -> None:
    keeper.hear(document())
    keeper.hear(endpoints(False))
    before = keeper.world
    assert not keeper.hear(DocumentReport(text=text))
    assert keeper.world == before
    assert keeper.newest == contract.document_version(text)
    assert "mesh document" in keeper.refusal
    assert value(registry, "documents_total", outcome=outcome) == 1
    assert value(registry, "document_refused") == 1
    assert keeper.hear(document(more=WEB))
    assert value(registry, "document_refused") == 0


def test_a_document_that_proxies_refuse_gives_way_until_another_one_comes(
    keeper: WorldKeeper, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(world_keeper, "time", SimpleNamespace(monotonic=lambda: now))
    keeper.hear(document())
    good = keeper.document
    now = TRIAL_SECONDS + 1
    bad, other = document(bad=WEB), document(other=WEB)
    keeper.hear(bad)
    assert (keeper.newest, keeper.refusal) == (contract.document_version(bad.text), "")
    assert keeper.hear_nack("edge/edge/i-1 refuses Listener: no such thing")
    assert keeper.document == good
    assert not keeper.hear_nack("a second one")
    assert not keeper.hear(bad)
    assert keeper.document == good
    assert (keeper.newest, keeper.refusal) == (contract.document_version(bad.text), "edge/edge/i-1 refuses Listener: no such thing")
    assert value(registry, "document_refused") == 1
    assert keeper.hear(other)
    assert keeper.refusal == ""
    assert value(registry, "document_refused") == 0


def test_machines_are_counted_by_group_and_state(keeper: WorldKeeper, registry: CollectorRegistry) -> None:
    keeper.hear(endpoints(False, False, True))
    assert value(registry, "endpoints", role="service", service="web", state="serving") == 2
    assert value(registry, "endpoints", role="service", service="web", state="draining") == 1
    keeper.hear(endpoints(False))
    assert value(registry, "endpoints", role="service", service="web", state="draining") == 0


def test_a_fault_that_goes_on_is_counted_each_time_and_logged_once(
    keeper: WorldKeeper, registry: CollectorRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        keeper.hear(FaultReport(api="ec2:DescribeInstances", code="Throttling", text="slow down"))
    assert value(registry, "faults_total", api="ec2:DescribeInstances", code="Throttling") == 3
    captured = capsys.readouterr()
    assert (captured.out + captured.err).count("slow down") == 1
