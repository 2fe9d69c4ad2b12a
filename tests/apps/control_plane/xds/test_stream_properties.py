"""Whatever a client and a source do, in any order: in the end the client holds what the server wants it to hold."""

from typing import Any

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.control_plane.plan import Planner
from apps.control_plane.snapshot import Snapshot
from apps.control_plane.stream import Stream
from apps.control_plane.stream_delta import DeltaStream
from apps.control_plane.stream_sotw import SotwStream
from apps.control_plane.type_urls import CLUSTER, ENDPOINT, LISTENER, ROUTE

TYPES = (CLUSTER, ENDPOINT, LISTENER, ROUTE)
NAMES = ("a", "b", "c")


class Silent:
    def pushed(self, *_: object) -> None: ...
    def acked(self, *_: object) -> None: ...
    def nacked(self, *_: object) -> None: ...


class Client:
    """What Envoy does, without Envoy: holds resources by type, and answers responses in order, accepting or refusing them."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.wanted: dict[str, set[str] | None] = {}
        """Names by type; None is everything."""
        self.held: dict[str, dict[str, bytes]] = {type_url: {} for type_url in TYPES}
        self.inbox: list[Any] = []
        self.last: dict[str, tuple[str, str]] = {}
        self.broken: list[str] = []

    def apply(self, response: Any) -> None:
        raise NotImplementedError

    def pump(self) -> None:
        self.inbox += [self.parse(message[5:]) for message in self.stream.pump()]

    def parse(self, message: bytes) -> Any:
        raise NotImplementedError

    def answer(self, *, accept: bool) -> None:
        if not self.inbox:
            return
        response = self.inbox.pop(0)
        if any(later.type_url == response.type_url for later in self.inbox):
            self.broken.append(f"two pushes of {response.type_url} under way")
        if accept:
            self.apply(response)
        self.reply(response, accept=accept)
        self.pump()

    def reply(self, response: Any, *, accept: bool) -> None:
        raise NotImplementedError


class DeltaClient(Client):
    def __init__(self) -> None:
        super().__init__(DeltaStream(Planner(), Silent()))

    def parse(self, message: bytes) -> Any:
        return DeltaDiscoveryResponse.FromString(message)

    def subscribe(self, type_url: str, names: set[str]) -> None:
        old = self.wanted.get(type_url, set())
        if type_url not in self.wanted:
            self.wanted[type_url] = names or None
            request = DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=names)
        elif old is None:
            return
        else:
            self.wanted[type_url] = names
            dropped = old - names
            for name in dropped:
                self.held[type_url].pop(name, None)
            request = DeltaDiscoveryRequest(type_url=type_url, resource_names_subscribe=names - old, resource_names_unsubscribe=dropped)
        self.stream.on_request(request)
        self.pump()

    def apply(self, response: Any) -> None:
        held, wanted = self.held[response.type_url], self.wanted[response.type_url]
        for one in response.resources:
            if wanted is None or one.name in wanted:
                held[one.name] = one.resource.SerializeToString(deterministic=True)
        for name in response.removed_resources:
            held.pop(name, None)

    def reply(self, response: Any, *, accept: bool) -> None:
        request = DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        if not accept:
            request.error_detail.message = "no"
        self.stream.on_request(request)


class SotwClient(Client):
    def __init__(self) -> None:
        super().__init__(SotwStream(Planner(), Silent()))

    def parse(self, message: bytes) -> Any:
        return DiscoveryResponse.FromString(message)

    def subscribe(self, type_url: str, names: set[str]) -> None:
        if type_url in (CLUSTER, LISTENER):
            names = set()
        if type_url in self.wanted and (not self.wanted[type_url] or not names):
            return
        self.wanted[type_url] = names or None
        self.held[type_url] = {name: held for name, held in self.held[type_url].items() if not names or name in names}
        self.ask(type_url)
        self.pump()

    def ask(self, type_url: str, *, error: bool = False) -> None:
        version, nonce = self.last.get(type_url, ("", ""))
        request = DiscoveryRequest(
            type_url=type_url, resource_names=self.wanted[type_url] or (), version_info=version, response_nonce=nonce
        )
        if error:
            request.error_detail.message = "no"
        self.stream.on_request(request)

    def apply(self, response: Any) -> None:
        wanted = self.wanted[response.type_url]
        named = {self.name_of(one): one.SerializeToString(deterministic=True) for one in response.resources}
        if response.type_url in (CLUSTER, LISTENER):
            self.held[response.type_url] = named
        else:
            self.held[response.type_url].update({name: one for name, one in named.items() if wanted is None or name in wanted})

    @staticmethod
    def name_of(one: Any) -> str:
        """Field 1 is the name in each of the four types."""
        return str(Cluster.FromString(one.value).name)

    def reply(self, response: Any, *, accept: bool) -> None:
        version = response.version_info if accept else self.last.get(response.type_url, ("", ""))[0]
        self.last[response.type_url] = (version, response.nonce)
        self.ask(response.type_url, error=not accept)


ACTIONS = st.one_of(
    st.tuples(st.just("subscribe"), st.sampled_from(TYPES), st.sets(st.sampled_from(NAMES))),
    st.tuples(st.just("publish"), st.dictionaries(st.sampled_from(TYPES), st.dictionaries(st.sampled_from(NAMES), st.integers(1, 3)))),
    st.tuples(st.just("ack")),
    st.tuples(st.just("nack")),
)


def snapshot_of(make: Any, plan: dict[str, dict[str, int]]) -> Snapshot:
    """Consistency is another test's."""
    build = {
        CLUSTER: lambda name, version: make.cluster(name, timeout=version),
        ENDPOINT: lambda name, version: make.endpoints(name, version),
        LISTENER: lambda name, version: make.listener(name, "r", prefix=f"v{version}"),
        ROUTE: lambda name, version: make.route(name, "c", timeout=version),
    }
    return Snapshot.of({url: {name: build[url](name, version) for name, version in named.items()} for url, named in plan.items()})


def play(client: Any, make: Any, actions: list[Any]) -> None:
    snapshot = Snapshot.of({})
    refused = False
    for action in actions:
        match action:
            case ("subscribe", type_url, names):
                client.subscribe(type_url, names)
            case ("publish", plan):
                snapshot = snapshot_of(make, plan)
                client.stream.show(snapshot)
                client.pump()
            case ("ack",):
                client.answer(accept=True)
            case ("nack",):
                refused = refused or bool(client.inbox)
                client.answer(accept=False)
    if refused:
        # what was refused is not sent again, so only a last change of everything makes the two sides equal
        names = {type_url: dict.fromkeys(NAMES, 7) for type_url in TYPES}
        snapshot = snapshot_of(make, names)
        client.stream.show(snapshot)
        client.pump()
    client.stream.show(snapshot)
    client.pump()
    for _ in range(50):
        client.answer(accept=True)
    assert not client.inbox
    assert not client.broken
    for type_url, wanted in client.wanted.items():
        served = {name: one.payload for name, one in snapshot.resources(type_url).items() if wanted is None or name in wanted}
        held = client.held[type_url]
        if isinstance(client, SotwClient) and type_url in (ENDPOINT, ROUTE):
            held = {name: one for name, one in held.items() if name in served}
        assert held == served, type_url


SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SETTINGS
@given(actions=st.lists(ACTIONS, max_size=25))
def test_an_incremental_client_ends_with_the_server_s_state(make: Any, actions: list[Any]) -> None:
    play(DeltaClient(), make, actions)


@SETTINGS
@given(actions=st.lists(ACTIONS, max_size=25))
def test_a_state_of_the_world_client_ends_with_the_server_s_state(make: Any, actions: list[Any]) -> None:
    play(SotwClient(), make, actions)
