"""What the control plane counts of discovery, documents and snapshots; the names are an interface of dashboards and alerts."""

from dataclasses import dataclass, field

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

PREFIX = "mesh_control_plane"


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """One set of metrics in one registry."""

    registry: CollectorRegistry = REGISTRY
    faults: Counter = field(init=False)
    restarts: Counter = field(init=False)
    last_sweep: Gauge = field(init=False)
    sweep_seconds: Gauge = field(init=False)
    discovery_cpu: Gauge = field(init=False)
    endpoints: Gauge = field(init=False)
    documents: Counter = field(init=False)
    document_refused: Gauge = field(init=False)
    deeds: Counter = field(init=False)
    builds: Counter = field(init=False)
    snapshots_refused: Counter = field(init=False)
    certificates_refused: Counter = field(init=False)
    certificate_refused: Gauge = field(init=False)
    certificate_expiry: Gauge = field(init=False)

    def __post_init__(self) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"{PREFIX}_{name}", text, labels, registry=self.registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"{PREFIX}_{name}", text, labels, registry=self.registry)

        metrics = {
            "faults": counter("faults", "Failed or unbelieved answers of what discovery asks; what was known stands.", "api", "code"),
            "restarts": counter("discovery_restarts", "Discovery children that ended and were started anew."),
            "last_sweep": gauge("last_sweep_timestamp_seconds", "When the last believed answer about machines came."),
            "sweep_seconds": gauge("sweep_seconds", "How long the last sweep took."),
            "discovery_cpu": gauge("discovery_cpu_seconds", "CPU that the running discovery child has used."),
            "endpoints": gauge("endpoints", "Machines that take part in traffic.", "role", "service", "state"),
            "documents": counter("documents", "Mesh documents seen, by what became of them.", "outcome"),
            "document_refused": gauge("document_refused", "1 while the newest mesh document is not the one that is served."),
            "deeds": counter("lifecycle_actions", "Lifecycle actions completed or prolonged.", "deed", "hook"),
            "builds": counter("snapshots_built", "Snapshots built for nodes."),
            "snapshots_refused": counter("snapshots_refused", "Snapshots that were not served; the last good one is.", "role", "service"),
            "certificates_refused": counter("certificates_refused", "Edge certificates refused, by reason.", "certificate", "reason"),
            "certificate_refused": gauge("certificate_refused", "1 while the newest of an edge certificate is not shown.", "certificate"),
            "certificate_expiry": Gauge(
                "mesh_certificate_expiry_seconds",
                "When the certificate that the edge shows expires, as Unix time.",
                ["certificate"],
                registry=self.registry,
            ),
        }
        for name, metric in metrics.items():
            object.__setattr__(self, name, metric)
