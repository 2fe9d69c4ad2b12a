"""What an edge does before memory or connections run out."""

from datetime import timedelta

from envoy.config.bootstrap.v3.bootstrap_pb2 import LayeredRuntime, RuntimeLayer
from envoy.config.overload.v3.overload_pb2 import (
    OverloadAction,
    OverloadManager,
    ResourceMonitor,
    ScaledTrigger,
    ScaleTimersOverloadActionConfig,
    ThresholdTrigger,
    Trigger,
)
from envoy.extensions.resource_monitors.downstream_connections.v3.downstream_connections_pb2 import DownstreamConnectionsConfig
from envoy.extensions.resource_monitors.fixed_heap.v3.fixed_heap_pb2 import FixedHeapConfig
from google.protobuf.message import Message

from envoy_configs.protos import duration, pack

HEAP_BYTES = 1 << 30
"""Half of the smallest machine an edge runs on by default (2 GiB)."""
CONNECTIONS = 20_000
REQUESTS_AT_ONCE = 10
"""Of one connection before others have their turn, however many it sends."""
RESETS_BORNE = 1_000_000_000
"""Requests that a connection's other side may begin and reset. A proxy does it in the name of clients, and with Envoy's own
number, 500 with half of them reset, one such client would end the connection that all of the proxy's clients share."""
PATTERN_SIZE = 1_000_000
"""Instructions that a pattern may compile to. Scopes and domains of the config are in some, and Envoy's own number, 100, refuses
a listener for one long scope or four domains of a login. Matching takes time by the text alone (RE2), and RE2 bounds the memory."""
SHRINK_HEAP_FROM = 0.95
REFUSE_REQUESTS_FROM = 0.98
SHORTEN_TIMEOUTS_FROM = 0.80
"""From here to where the heap shrinks, idle connections and streams are let go ever sooner."""
SHORTEST_IDLE = timedelta(seconds=10)

_HEAP = "envoy.resource_monitors.fixed_heap"
_REFRESH = timedelta(milliseconds=250)


def manager() -> OverloadManager:
    return OverloadManager(
        refresh_interval=duration(_REFRESH),
        resource_monitors=[
            _monitor(_HEAP, FixedHeapConfig(max_heap_size_bytes=HEAP_BYTES)),
            _monitor(
                "envoy.resource_monitors.global_downstream_max_connections",
                DownstreamConnectionsConfig(max_active_downstream_connections=CONNECTIONS),
            ),
        ],
        actions=[
            _at("envoy.overload_actions.shrink_heap", SHRINK_HEAP_FROM),
            _at("envoy.overload_actions.stop_accepting_requests", REFUSE_REQUESTS_FROM),
            _shorter_timeouts(),
        ],
    )


def runtime(*, clients: bool, proxies: bool) -> LayeredRuntime:
    """By whom the Envoy is reached. Fixed values only: without a layer of admin's nothing changes them while Envoy runs."""
    layer = RuntimeLayer(name="mesh")
    if clients:
        patterns = {"max_program_size": {"error_level": PATTERN_SIZE}}
        layer.static_layer.update({"http": {"max_requests_per_io_cycle": REQUESTS_AT_ONCE}, "re2": patterns})
    if proxies:
        layer.static_layer.update({"overload": {"premature_reset_total_stream_count": RESETS_BORNE}})
    return LayeredRuntime(layers=[layer])


def _monitor(name: str, config: Message) -> ResourceMonitor:
    return ResourceMonitor(name=name, typed_config=pack(config))


def _at(action: str, share: float) -> OverloadAction:
    return OverloadAction(name=action, triggers=[Trigger(name=_HEAP, threshold=ThresholdTrigger(value=share))])


def _shorter_timeouts() -> OverloadAction:
    timer = ScaleTimersOverloadActionConfig.ScaleTimer
    kinds = (ScaleTimersOverloadActionConfig.HTTP_DOWNSTREAM_CONNECTION_IDLE, ScaleTimersOverloadActionConfig.HTTP_DOWNSTREAM_STREAM_IDLE)
    scaled = [timer(timer=kind, min_timeout=duration(SHORTEST_IDLE)) for kind in kinds]
    trigger = ScaledTrigger(scaling_threshold=SHORTEN_TIMEOUTS_FROM, saturation_threshold=SHRINK_HEAP_FROM)
    return OverloadAction(
        name="envoy.overload_actions.reduce_timeouts",
        triggers=[Trigger(name=_HEAP, scaled=trigger)],
        typed_config=pack(ScaleTimersOverloadActionConfig(timer_scale_factors=scaled)),
    )
