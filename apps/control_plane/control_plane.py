"""One running control plane: discovery in, snapshots out, a console beside it."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta

import structlog

from apps.control_plane.console import Answer, Console, json_answer, metrics_page
from apps.control_plane.discovery.reports import Discovery, Report
from apps.control_plane.mesh_source import MeshSource
from apps.control_plane.metrics import Metrics
from apps.control_plane.node import Node
from apps.control_plane.server import AdsServer
from apps.control_plane.session import Authorizer
from apps.control_plane.status import NodeStatus
from apps.control_plane.tls import ServerTls
from apps.control_plane.type_urls import short_name
from apps.control_plane.world_keeper import WorldKeeper

STOP_GRACE = timedelta(seconds=2)

log = structlog.get_logger()


class ControlPlane:
    """Joins the parts; all of it runs in one event loop."""

    def __init__(self, *, stack: str, discovery: Discovery, authorize: Authorizer, metrics: Metrics) -> None:
        self._discovery = discovery
        self._registry = metrics.registry
        self._authorize = authorize
        self._keeper = WorldKeeper(stack=stack, metrics=metrics)
        self._source = MeshSource(metrics=metrics)
        self._server = AdsServer(on_nack=self._hear_nack)
        self._console = Console({"/ready": self._ready, "/metrics": metrics_page(metrics.registry), "/nodes": self._nodes})
        self.xds_port = 0
        self.console_port = 0

    async def run(self, address: str, *, xds_port: int, console_port: int, tls: ServerTls | None, stop: asyncio.Event) -> None:
        """Serves until `stop` is set; a failing part ends the whole, which its machine starts anew."""
        self.console_port = await self._console.start(address, console_port)
        self.xds_port = await self._server.start(address, xds_port, tls, self._source, self._authorize)
        self._server.counters.register(self._registry)
        log.info("control plane listens", address=address, xds=self.xds_port, console=self.console_port, mutual_tls=tls is not None)
        discovering = asyncio.create_task(self._discovery.run(self._hear))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({discovering, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if discovering.done():
                discovering.result()
        finally:
            for task in (discovering, stopping):
                task.cancel()
            await asyncio.gather(discovering, stopping, return_exceptions=True)
            await self._server.stop(STOP_GRACE)
            await self._console.stop()
            log.info("control plane stopped")

    def _hear(self, report: Report) -> None:
        if self._keeper.hear(report):
            self._show()

    def _hear_nack(self, node: Node, type_url: str, _version: str, error: str) -> None:
        if self._keeper.hear_nack(f"{node.id} refuses {short_name(type_url)}: {error}"):
            self._show()

    def _show(self) -> None:
        if world := self._keeper.world:
            self._source.show(world)

    def _ready(self) -> Answer:
        if self._keeper.world:
            return Answer(status=200, body=b"ready\n")
        missing = "machines" if self._keeper.document else "mesh document"
        return Answer(status=503, body=f"waits for the first {missing}\n".encode())

    def _nodes(self) -> Answer:
        statuses = sorted(self._server.nodes(), key=lambda item: str(item.node.id))
        nodes = [
            {
                "id": str(status.node.id),
                "api": status.api,
                "facts": dict(status.node.facts),
                "types": {short_name(url): asdict(kind) for url, kind in sorted(status.types.items())},
            }
            for status in statuses
        ]
        return json_answer({"document": self._document(statuses), "nodes": nodes})

    def _document(self, statuses: Sequence[NodeStatus]) -> dict[str, object]:
        """What became of the newest document, as the command reads it."""
        document = self._keeper.document
        behind = {str(status.node.id): self._source.behind.get(status.node) or status.behind for status in statuses}
        return {
            "newest": self._keeper.newest,
            "serving": document.version if document else None,
            "refusal": self._keeper.refusal,
            "waits_for": [str(status.node.id) for status in statuses if self._server.pushing or not status.answered],
            "behind": {node: asdict(one) for node, one in behind.items() if one},
        }
