"""Compose files: typed, interpolated, in start order; what would be done differently is refused."""

from datetime import timedelta
from typing import Any

import pytest

from local.machines.compose import ComposeError, Condition, EnvFile, Mount, Restart, parse_compose
from local.machines.interpolation import InterpolationError, interpolate

FACTS = {"MESH_ROOT": "/state/i-1/root", "EMPTY": ""}


def one(**settings: Any) -> Any:
    return parse_compose({"services": {"app": {"image": "example/app", **settings}}}, FACTS)["app"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${MESH_ROOT}/x", "/state/i-1/root/x"),
        ("$MESH_ROOT/x", "/state/i-1/root/x"),
        ("${NOSUCH:-a}${NOSUCH-b}", "ab"),
        ("${EMPTY:-a}|${EMPTY-b}|${EMPTY}", "a||"),
        ("$$HOME $${NOSUCH}", "$HOME ${NOSUCH}"),
        ("no variable", "no variable"),
    ],
)
def test_variables_are_replaced_as_compose_does(text: str, value: str) -> None:
    assert interpolate(text, FACTS, place="here") == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${NOSUCH}", "here: NOSUCH is not set; machine.env has EMPTY, MESH_ROOT"),
        ("${EMPTY:?say why}", "EMPTY is not set: say why"),
        ("$", "begins no variable"),
        ("${a", "begins no variable"),
        ("${A+b}", "begins no variable"),
    ],
)
def test_a_variable_that_is_not_set_is_an_error_and_not_empty(text: str, message: str) -> None:
    with pytest.raises(InterpolationError, match=message):
        interpolate(text, FACTS, place="here")


def test_a_service_is_read_in_every_form_that_compose_has() -> None:
    service = one(
        command="serve --name 'two words'",
        environment=["A=1", "B=${MESH_ROOT}"],
        env_file=["a.env", {"path": "b.env", "required": False}],
        labels={"count": 2, "on": True},
        volumes=["${MESH_ROOT}/run:/run/mesh:ro", {"type": "bind", "source": "/a", "target": "/b"}],
        restart="unless-stopped",
        stop_grace_period="1m30s",
        stop_signal="SIGINT",
    )
    assert service.command == ("serve", "--name", "two words")
    assert service.environment == {"A": "1", "B": "/state/i-1/root"}
    assert service.env_files == (EnvFile(path="a.env"), EnvFile(path="b.env", required=False))
    assert service.labels == {"count": "2", "on": "true"}
    assert service.mounts == (Mount(source="/state/i-1/root/run", target="/run/mesh"), Mount(source="/a", target="/b"))
    assert (service.restart, service.stop_grace, service.stop_signal) == (Restart.UNLESS_STOPPED, timedelta(seconds=90), "SIGINT")


def test_defaults_are_docker_s() -> None:
    service = one()
    assert (service.command, service.restart, service.stop_grace, service.stop_signal) == ((), Restart.NO, timedelta(seconds=10), "SIGTERM")


@pytest.mark.parametrize(
    ("image", "repository"),
    [
        ("postgres", "postgres"),
        ("postgres:18", "postgres"),
        ("host:5000/team/app@sha256:00", "host:5000/team/app"),
        ("host:5000/team/app:1.2@sha256:00", "host:5000/team/app"),
        ("host:5000/app", "host:5000/app"),
    ],
)
def test_the_repository_of_an_image_has_no_tag_and_no_digest(image: str, repository: str) -> None:
    assert one(image=image).repository == repository


def test_services_come_after_what_they_depend_on() -> None:
    services = {
        "c": {"image": "x", "depends_on": {"b": {"condition": "service_healthy"}}},
        "b": {"image": "x", "depends_on": ["a"]},
        "a": {"image": "x"},
    }
    ordered = parse_compose({"services": services}, FACTS)
    assert list(ordered) == ["a", "b", "c"]
    assert ordered["c"].depends_on == {"b": Condition.HEALTHY}
    assert ordered["b"].depends_on == {"a": Condition.STARTED}


def test_confinement_has_no_effect_here_and_is_let_through() -> None:
    confined = {"read_only": True, "cap_drop": ["ALL"], "tmpfs": ["/tmp"], "user": "101", "privileged": True, "logging": {"driver": "x"}}
    assert one(network_mode="host", **confined, **{"x-note": "extension"}).image == "example/app"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ports": ["80:80"]}, "services.app: the process runtime does not carry out ports"),
        ({"working_dir": "/"}, "does not carry out working_dir"),
        ({"network_mode": "bridge"}, "network_mode is 'bridge'"),
        ({"restart": "sometimes"}, "restart is 'sometimes'; it is one of no, always, on-failure, unless-stopped"),
        ({"volumes": ["data:/var/lib"]}, "'data:/var/lib' does not bind an absolute path"),
        ({"stop_grace_period": "soon"}, "'soon' is not a duration like 10s"),
        ({"environment": ["HOME"]}, "'HOME' takes its value from the host's environment"),
        ({"depends_on": ["db"]}, "there is no service 'db'; there are app"),
        ({"depends_on": ["app"]}, "depends_on goes in a circle among app"),
        ({"depends_on": {"app": {"condition": "ready"}}}, "condition 'ready' is not one of"),
        ({"image": None}, "image is missing"),
        ({"command": "${NOSUCH}"}, "services.app.command: NOSUCH is not set"),
    ],
)
def test_what_would_be_done_differently_is_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ComposeError, match=message):
        one(**settings)


@pytest.mark.parametrize("document", [None, {}, {"services": {"a": 1}}, {"services": {"a": {"image": "x"}}, "configs": 1}])
def test_a_file_that_is_no_compose_file_is_refused(document: object) -> None:
    with pytest.raises(ComposeError):
        parse_compose(document, FACTS)
