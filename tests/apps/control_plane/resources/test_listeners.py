"""Listeners and connection managers, without an Envoy; the values are those of the edge checklist (R)."""

from envoy.config.core.v3.protocol_pb2 import HttpProtocolOptions
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpConnectionManager
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import DownstreamTlsContext

from apps.control_plane.resources import listeners
from apps.control_plane.resources.facts import MachineFacts
from model.contract import NodeId, Role

FACTS = MachineFacts(node=NodeId(Role.EDGE, "edge", "i-1"), address="10.0.0.5", loopback="127.0.0.1", public=("127.20.0.99",))


def manager_of(listener: Listener) -> HttpConnectionManager:
    manager = HttpConnectionManager()
    assert listener.filter_chains[0].filters[-1].typed_config.Unpack(manager)
    return manager


def place_of(listener: Listener) -> tuple[str, int]:
    return listener.address.socket_address.address, listener.address.socket_address.port_value


def test_the_edge_holds_to_its_checklist() -> None:
    """Acceptance R4 to R7, R9."""
    listener = listeners.edge_https(FACTS, 443)
    manager = manager_of(listener)
    assert listener.per_connection_buffer_limit_bytes.value == 32768
    assert manager.use_remote_address.value
    assert manager.normalize_path.value
    assert manager.merge_slashes
    assert manager.path_with_escaped_slashes_action == HttpConnectionManager.UNESCAPE_AND_REDIRECT
    common = manager.common_http_protocol_options
    assert common.headers_with_underscores_action == HttpProtocolOptions.REJECT_REQUEST
    assert (common.idle_timeout.seconds, manager.stream_idle_timeout.seconds, manager.request_timeout.seconds) == (3600, 300, 300)
    http2 = manager.http2_protocol_options
    assert http2.max_concurrent_streams.value == 100
    assert (http2.initial_stream_window_size.value, http2.initial_connection_window_size.value) == (65536, 1048576)


def test_the_edge_takes_its_certificate_by_sds_over_ads() -> None:
    """Acceptance R13, 14."""
    listener = listeners.edge_https(FACTS, 443)
    context = DownstreamTlsContext()
    assert listener.filter_chains[0].transport_socket.typed_config.Unpack(context)
    common = context.common_tls_context
    (secret,) = common.tls_certificate_sds_secret_configs
    assert (secret.name, secret.sds_config.WhichOneof("config_source_specifier")) == ("edge-tls", "ads")
    assert list(common.alpn_protocols) == ["h2", "http/1.1"]
    assert [item.name for item in listener.listener_filters] == ["envoy.filters.listener.tls_inspector"]


def test_an_edge_also_listens_on_the_addresses_that_its_machine_holds() -> None:
    for listener, port in ((listeners.edge_https(FACTS, 8443), 8443), (listeners.edge_http(FACTS, 8080, 8443), 8080)):
        assert place_of(listener) == ("10.0.0.5", port)
        (other,) = listener.additional_addresses
        assert (other.address.socket_address.address, other.address.socket_address.port_value) == ("127.20.0.99", port)


def test_only_the_mesh_side_of_a_sidecar_is_on_the_machines_address() -> None:
    assert place_of(listeners.ingress(FACTS, "http")) == ("10.0.0.5", 8000)
    assert place_of(listeners.postgres_ingress(FACTS)) == ("10.0.0.5", 5432)
    assert place_of(listeners.egress(FACTS)) == ("127.0.0.1", 15001)
    assert place_of(listeners.postgres_egress(FACTS)) == ("127.0.0.1", 5432)
    assert place_of(listeners.tcp_egress(FACTS, "queue", 6379)) == ("127.0.0.1", 6379)


def test_sidecars_keep_what_the_edge_said_of_the_client() -> None:
    for listener in (listeners.ingress(FACTS, "http"), listeners.egress(FACTS)):
        manager = manager_of(listener)
        assert not manager.use_remote_address.value
        assert "envoy.filters.http.grpc_stats" in [item.name for item in manager.http_filters]


def test_a_tcp_service_has_no_http_in_its_way() -> None:
    (only,) = listeners.ingress(FACTS, "tcp").filter_chains[0].filters
    assert only.name == "envoy.filters.network.tcp_proxy"
