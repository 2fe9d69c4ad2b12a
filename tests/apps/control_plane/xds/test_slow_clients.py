"""Clients that do not read: nobody else waits for them, the server stores nothing for them, and later they get the newest (155)."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse

from apps.control_plane.transport import WRITE_HIGH_WATER
from apps.control_plane.type_urls import CLUSTER

PATH = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
NAMES = tuple(f"service-{number}" for number in range(100))
BALLAST = "x" * 20_000
WIDE, TINY = 1 << 30, 1000


class BareClient:
    """HTTP/2 by hand: reads only when told to, with a window of its choice."""

    def __init__(self, port: int, *, window: int) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(5)
        self.socket.connect(("127.0.0.1", port))
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.local_settings = h2.settings.Settings(client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(WIDE)
        headers = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", PATH), ("content-type", "application/grpc")]
        self.h2.send_headers(1, headers)
        self.inbox = b""
        request = DeltaDiscoveryRequest(type_url=CLUSTER)
        request.node.id = "service/slow/i-1"
        self.say(request)

    def say(self, request: DeltaDiscoveryRequest) -> None:
        message = request.SerializeToString()
        self.h2.send_data(1, b"\0" + len(message).to_bytes(4, "big") + message)
        self.socket.sendall(self.h2.data_to_send())

    def read(self) -> DeltaDiscoveryResponse:
        """Opens the window as it reads."""
        while len(self.inbox) < 5 or len(self.inbox) < 5 + int.from_bytes(self.inbox[1:5], "big"):
            for event in self.h2.receive_data(self.socket.recv(1 << 20)):
                if isinstance(event, h2.events.DataReceived):
                    self.inbox += event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, 1)
                    self.h2.increment_flow_control_window(event.flow_controlled_length, 1)
            self.socket.sendall(self.h2.data_to_send())
        end = 5 + int.from_bytes(self.inbox[1:5], "big")
        message, self.inbox = self.inbox[5:end], self.inbox[end:]
        return DeltaDiscoveryResponse.FromString(message)


@pytest.fixture
def bare(served: Any) -> Iterator[Callable[[int], BareClient]]:
    clients: list[BareClient] = []

    def start(window: int) -> BareClient:
        clients.append(BareClient(served.port, window=window))
        return clients[-1]

    yield start
    for client in clients:
        client.socket.close()


def heavy(make: Any, version: int) -> Any:
    """A consistent mesh whose clusters are 2 MB, more than the kernel takes for a client that does not read after a few rounds."""
    mesh = make.mesh(NAMES, version=version)
    for cluster in mesh[CLUSTER].values():
        cluster.alt_stat_name = BALLAST
    return mesh


def stored_for(served: Any, node: str) -> int:
    """Bytes that the server keeps for a client."""

    def look() -> int:
        [session] = [one for one in served.server.sessions if one.node is not None and str(one.node.id) == node]
        stream = session._grpc
        return sum(map(len, stream._outbox)) + int(stream._connection._transport.get_write_buffer_size())

    return int(served.loop.call(look))


@pytest.mark.parametrize("window", [TINY, WIDE], ids=["a shut window", "a full socket"])
def test_155_a_client_that_does_not_read_costs_one_response_and_gets_the_newest_when_it_reads(
    served: Any, connect: Any, make: Any, bare: Callable[[int], BareClient], window: int
) -> None:
    served.publish(heavy(make, 1))
    slow = bare(window)
    quick = connect(served, delta=True, node="service/quick/i-1", options=[("grpc.max_receive_message_length", -1)])
    quick.ask(CLUSTER)
    response = quick.answer()
    size = response.ByteSize()
    assert size > WRITE_HIGH_WATER / 2
    quick.ack(response)
    for version in range(2, 8):
        # it even says that it has read what it has not
        slow.say(DeltaDiscoveryRequest(type_url=CLUSTER, response_nonce=str(version - 1)))
        newest = served.publish(heavy(make, version))
        response = quick.answer()
        assert len(response.resources) == len(NAMES)
        quick.ack(response)
        stored = stored_for(served, "service/slow/i-1")
        assert stored < size + 2 * WRITE_HIGH_WATER
    assert stored > 0
    answers = [slow.read()]
    while answers[-1].system_version_info != newest.version(CLUSTER):
        slow.say(DeltaDiscoveryRequest(type_url=CLUSTER, response_nonce=answers[-1].nonce))
        answers.append(slow.read())
    assert len(answers) <= 4
