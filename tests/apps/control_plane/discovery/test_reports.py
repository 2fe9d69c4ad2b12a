"""Reports cross the pipe unchanged; anything else is named."""

import pytest

from apps.control_plane.discovery.reports import (
    DeedReport,
    DocumentReport,
    EdgeTlsReport,
    EndpointsReport,
    FaultReport,
    IssuerReport,
    LoginSecretsReport,
    Report,
    Sighting,
    SweepReport,
    from_line,
    to_line,
)


@pytest.mark.parametrize(
    "report",
    [
        EndpointsReport(endpoints=(Sighting(instance="i-1", role="edge", service="edge", address="127.0.0.2", zone="a", draining=True),)),
        EndpointsReport(endpoints=()),
        DocumentReport(text='{"a": "\\n"}\n'),
        EdgeTlsReport(path="/p", chain="-----BEGIN\n", key="k"),
        IssuerReport(issuer="i", jwks_uri="j", authorization_endpoint="a", token_endpoint="t", end_session_endpoint=""),
        LoginSecretsReport(client_secret="c", cookie_key="k"),
        SweepReport(seconds=0.1, cpu_seconds=1.0),
        DeedReport(deed="complete", hook="drain", group="g", instance="i-1"),
        FaultReport(api="ec2:DescribeInstances", code="Throttling", text="slow\ndown"),
    ],
)
def test_a_report_is_one_line_and_comes_back(report: Report) -> None:
    line = to_line(report)
    assert line.count(b"\n") == 1
    assert from_line(line) == report


@pytest.mark.parametrize("line", [b"", b"Traceback (most recent call last):\n", b"[1]", b'{"kind":"other"}', b'{"kind":"sweep","x":1}'])
def test_a_line_that_is_no_report_is_shown(line: bytes) -> None:
    with pytest.raises(ValueError, match="not a report of discovery"):
        from_line(line)


def test_a_key_does_not_show_in_a_log() -> None:
    assert "hush" not in repr(EdgeTlsReport(path="/p", chain="c", key="hush"))
    assert "hush" not in repr(LoginSecretsReport(client_secret="hush", cookie_key="hush"))
