"""Joins what discovery reports into one `World`; what cannot be used changes nothing and is counted."""

import time
from collections import Counter
from dataclasses import asdict

import structlog

from apps.control_plane.certificates import EdgeCertificates
from apps.control_plane.discovery.reports import (
    DeedReport,
    DocumentReport,
    EdgeTlsReport,
    EndpointsReport,
    FaultReport,
    IssuerReport,
    LoginSecretsReport,
    Report,
    SweepReport,
)
from apps.control_plane.document import DocumentRefused, MeshDocument, read_document
from apps.control_plane.document_trial import DocumentTrial
from apps.control_plane.metrics import Metrics
from apps.control_plane.model import Endpoint, EndpointState, Issuer, LoginSecrets, TlsKeyPair, World
from model import contract
from model.contract import Role

FAULT_LOG_SECONDS = 60.0
"""A fault that goes on is logged again after this time; the metric counts each."""

log = structlog.get_logger()


class WorldKeeper:
    """The last good of everything; there is a world once a document and the machines are known."""

    def __init__(self, *, stack: str, metrics: Metrics) -> None:
        self._stack = stack
        self._metrics = metrics
        self._endpoints: tuple[Endpoint, ...] | None = None
        self._certificates = EdgeCertificates(stack=stack, metrics=metrics)
        self._issuer: Issuer | None = None
        self._login_secrets: LoginSecrets | None = None
        self._logged: dict[tuple[str, str], float] = {}
        self._trial = DocumentTrial()
        self._nack = ""
        self.document: MeshDocument | None = None
        self.newest: str | None = None
        """Version of the newest document seen, served or not."""
        self.refusal = ""
        """Why the newest document is not the one that is served; empty when it is."""

    @property
    def world(self) -> World | None:
        """What is known now, or None before the first document and the first sweep."""
        if self.document is None or self._endpoints is None:
            return None
        return World(
            spec=self.document.spec,
            stack=self._stack,
            descriptors=self.document.descriptors,
            endpoints=self._endpoints,
            edge_tls=self._certificates.default,
            certificates=self._certificates.named(self.document.spec),
            issuer=self._issuer,
            login_secrets=self._login_secrets,
        )

    def hear(self, report: Report) -> bool:
        """Takes a report; True when the world may have changed by it."""
        match report:
            case EndpointsReport():
                return self._hear_endpoints(report)
            case DocumentReport():
                return self._hear_document(report)
            case EdgeTlsReport():
                self._certificates.hear(report.path, TlsKeyPair(chain=report.chain, key=report.key))
                return self.document is not None and self._certificates.review(self.document.spec)
            case IssuerReport():
                self._issuer = Issuer(**asdict(report))
                log.info("token issuer found", issuer=report.issuer, jwks=report.jwks_uri)
                return True
            case LoginSecretsReport():
                self._login_secrets = LoginSecrets(client_secret=report.client_secret, cookie_key=report.cookie_key)
                log.info("secrets of logins read")
                return True
            case SweepReport():
                self._metrics.last_sweep.set_to_current_time()
                self._metrics.sweep_seconds.set(report.seconds)
                self._metrics.discovery_cpu.set(report.cpu_seconds)
            case DeedReport():
                self._metrics.deeds.labels(report.deed, report.hook).inc()
                log.info("lifecycle action", deed=report.deed, hook=report.hook, group=report.group, instance=report.instance)
            case FaultReport():
                self._hear_fault(report)
        return False

    def hear_nack(self, words: str) -> bool:
        """A proxy refused what was built of the served document; True when an earlier document is served instead.

        `words` say which proxy refused what, and why.
        """
        refused, proven = self.document, self._trial.nacked(now=time.monotonic())
        if refused is None or proven is None:
            return False
        self._metrics.documents.labels("nacked").inc()
        self._metrics.document_refused.set(1)
        self.document = proven
        self._nack = self.refusal = words
        self._certificates.review(proven.spec)
        log.error("a proxy refused the mesh document; back to the one before", refused=refused.version, serving=proven.version)
        return True

    def _hear_document(self, report: DocumentReport) -> bool:
        self.newest = contract.document_version(report.text)
        try:
            document = read_document(report.text, stack=self._stack)
            if document.version == self._trial.refused:
                raise DocumentRefused("nacked", self._nack)
        except DocumentRefused as refused:
            self.refusal = str(refused)
            self._metrics.documents.labels(refused.reason).inc()
            self._metrics.document_refused.set(1)
            serving = self.document.version if self.document else None
            log.error("mesh document refused", reason=refused.reason, text=str(refused), serving=serving)
            return False
        self._metrics.document_refused.set(0)
        self.refusal = ""
        if self.document and self.document.version == document.version:
            return False
        self._metrics.documents.labels("applied").inc()
        self._trial.applied(document, now=time.monotonic())
        self.document = document
        self._certificates.review(document.spec)
        log.info("mesh document applied", version=document.version, services=len(document.spec.services))
        return True

    def _hear_endpoints(self, report: EndpointsReport) -> bool:
        endpoints = tuple(
            Endpoint(
                instance=item.instance,
                role=Role(item.role),
                service=item.service,
                address=item.address,
                zone=item.zone,
                state=EndpointState.DRAINING if item.draining else EndpointState.SERVING,
            )
            for item in report.endpoints
        )
        before, after = set(self._endpoints or ()), set(endpoints)
        if self._endpoints is not None and before == after:
            return False
        self._endpoints = endpoints
        self._metrics.endpoints.clear()
        for (role, service, state), number in Counter((item.role, item.service, item.state) for item in endpoints).items():
            self._metrics.endpoints.labels(role, service, state).set(number)
        for endpoint in sorted(after - before, key=lambda item: item.instance):
            log.info("endpoint", instance=endpoint.instance, service=endpoint.service, address=endpoint.address, state=endpoint.state)
        for instance in sorted({item.instance for item in before} - {item.instance for item in after}):
            log.info("endpoint gone", instance=instance)
        return True

    def _hear_fault(self, report: FaultReport) -> None:
        self._metrics.faults.labels(report.api, report.code).inc()
        now, key = time.monotonic(), (report.api, report.code)
        if now - self._logged.get(key, -FAULT_LOG_SECONDS) >= FAULT_LOG_SECONDS:
            self._logged[key] = now
            log.warning("discovery fault; what was known stands", api=report.api, code=report.code, text=report.text)
