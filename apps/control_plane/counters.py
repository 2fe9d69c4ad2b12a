"""What the xDS server counts, as Prometheus metrics; the names are an interface of dashboards and alerts.

Plain numbers while serving, made into metrics when somebody looks: a push must not pay for it.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from apps.control_plane.status import NodeStatus
from apps.control_plane.type_urls import short_name

PREFIX = "mesh_xds"


class Counters(Collector):
    """The numbers of one server; `live` lists the connected proxies."""

    def __init__(self, live: Callable[[], Iterable[NodeStatus]], snapshots_refused: Callable[[], int]) -> None:
        self._live = live
        self._snapshots_refused = snapshots_refused
        self.pushes: Counter[str] = Counter()
        self.acks: Counter[str] = Counter()
        self.nacks: Counter[tuple[str, str]] = Counter()
        self.refusals: Counter[str] = Counter()
        """Streams by gRPC status name, and handshakes as `tls`."""

    def register(self, registry: CollectorRegistry) -> None:
        """Shows the numbers in `registry`."""
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """The metrics as of now."""
        for name, text, counts in (
            ("pushes", "Responses sent, by resource type.", self.pushes),
            ("acks", "Responses that proxies accepted, by resource type.", self.acks),
        ):
            metric = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=["type"])
            for type_url, count in counts.items():
                metric.add_metric([short_name(type_url)], count)
            yield metric
        nacks = CounterMetricFamily(f"{PREFIX}_nacks", "Responses that proxies refused, by node and type.", labels=["node", "type"])
        for (node, type_url), count in self.nacks.items():
            nacks.add_metric([node, short_name(type_url)], count)
        yield nacks
        refusals = CounterMetricFamily(f"{PREFIX}_refusals", "Streams and TLS handshakes refused, by reason.", labels=["reason"])
        for reason, count in self.refusals.items():
            refusals.add_metric([reason], count)
        yield refusals
        yield CounterMetricFamily(f"{PREFIX}_snapshots_not_served", "New snapshots that were not served.", value=self._snapshots_refused())
        yield from self._of_live()

    def _of_live(self) -> Iterable[Metric]:
        streams = GaugeMetricFamily(f"{PREFIX}_streams", "Open streams of known proxies, by API.", labels=["api"])
        versions = GaugeMetricFamily(
            f"{PREFIX}_node_version_info", "1 for the version of each type that a proxy has accepted.", labels=["node", "type", "version"]
        )
        rejecting = GaugeMetricFamily(
            f"{PREFIX}_node_rejecting", "1 while a proxy refuses what it was last sent.", labels=["node", "type", "version"]
        )
        open_streams: Counter[str] = Counter()
        for status in self._live():
            open_streams[status.api] += 1
            for type_url, one in status.types.items():
                labels = [str(status.node.id), short_name(type_url)]
                if one.acked:
                    versions.add_metric([*labels, one.acked], 1)
                if one.nacked:
                    rejecting.add_metric([*labels, one.nacked], 1)
        for api in ("delta", "sotw"):
            streams.add_metric([api], open_streams[api])
        return streams, versions, rejecting
