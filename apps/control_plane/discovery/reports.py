"""What a source tells the control plane, and how a report crosses the pipe from the child: one JSON line each.

Standard library only: the child must stay small.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """A machine that takes part in the mesh's traffic; `draining` ones take no new requests."""

    instance: str
    role: str
    service: str
    address: str
    zone: str
    draining: bool = False


@dataclass(frozen=True, kw_only=True)
class EndpointsReport:
    """All machines that take part now; replaces what the last one said."""

    endpoints: tuple[Sighting, ...]


@dataclass(frozen=True, kw_only=True)
class DocumentReport:
    """The mesh document as text, not yet read."""

    text: str


@dataclass(frozen=True, kw_only=True)
class EdgeTlsReport:
    """One of the certificates that the edge shows to clients, PEM; `path` is where it lies in SSM."""

    path: str
    chain: str = field(repr=False)
    key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class IssuerReport:
    """What the discovery document of the tokens' issuer says."""

    issuer: str
    jwks_uri: str
    authorization_endpoint: str
    token_endpoint: str
    end_session_endpoint: str


@dataclass(frozen=True, kw_only=True)
class LoginSecretsReport:
    """What the edge shares with the issuer, and edges with each other."""

    client_secret: str = field(repr=False)
    cookie_key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class SweepReport:
    """A sweep is over and its answer was believed; `cpu_seconds` is what the child has used in all."""

    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, kw_only=True)
class DeedReport:
    """A lifecycle action was completed or prolonged."""

    deed: str
    hook: str
    group: str
    instance: str


@dataclass(frozen=True, kw_only=True)
class FaultReport:
    """An API did not answer, answered with an error, or answered what cannot be true; what was known before stands."""

    api: str
    code: str
    text: str


Report = EndpointsReport | DocumentReport | EdgeTlsReport | IssuerReport | LoginSecretsReport | SweepReport | DeedReport | FaultReport
Publish = Callable[[Report], None]

KINDS: dict[str, type[Any]] = {
    "endpoints": EndpointsReport,
    "document": DocumentReport,
    "edge-tls": EdgeTlsReport,
    "issuer": IssuerReport,
    "login-secrets": LoginSecretsReport,
    "sweep": SweepReport,
    "deed": DeedReport,
    "fault": FaultReport,
}
NAMES = {kind: name for name, kind in KINDS.items()}


class Discovery(Protocol):
    """A source of reports."""

    async def run(self, publish: Publish) -> None:
        """Reports what there is and what changes, until cancelled."""


def to_line(report: Report) -> bytes:
    """The report as one line."""
    return json.dumps({"kind": NAMES[type(report)], **asdict(report)}, separators=(",", ":")).encode() + b"\n"


def from_line(line: bytes) -> Report:
    """The report of a line; raises ValueError with the line's start when it is none."""
    try:
        data = json.loads(line)
        kind = KINDS[data.pop("kind")]
        if kind is EndpointsReport:
            data["endpoints"] = tuple(Sighting(**item) for item in data["endpoints"])
        report: Report = kind(**data)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a report of discovery ({type(error).__name__}): {line[:80]!r}") from None
    return report
