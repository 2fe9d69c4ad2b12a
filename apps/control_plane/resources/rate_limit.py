"""Token buckets of the edge: for all requests and for one route's, by edge, by client, by a token's claim, or over all edges.

All buckets belong to the listener: a route that changes does not refill them, and its several matches share one. A bucket
is named by the limit that it enforces; a route carries the names of its limits in its metadata, in numbered slots for
which the filters look.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption, RuntimeFractionalPercent
from envoy.config.route.v3.route_components_pb2 import RateLimit, Route
from envoy.extensions.common.ratelimit.v3.ratelimit_pb2 import (
    LocalClusterRateLimit,
    LocalRateLimitDescriptor,
    RateLimitDescriptor,
    XRateLimitHeadersRFCVersion,
)
from envoy.extensions.filters.http.local_ratelimit.v3.local_rate_limit_pb2 import LocalRateLimit
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.type.metadata.v3.metadata_pb2 import MetadataKey
from envoy.type.v3.percent_pb2 import FractionalPercent
from envoy.type.v3.token_bucket_pb2 import TokenBucket
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from apps.control_plane.model import World
from apps.control_plane.resources import jwt
from apps.control_plane.resources.claims import PAYLOAD
from apps.control_plane.resources.feature import Feature
from apps.control_plane.resources.protos import pack, seconds
from model.edge import RateLimitSpec, RouteSpec
from model.edge_words import CLAIM_KEY

CLIENTS_REMEMBERED = 10_000
"""Buckets by client or claim that a filter keeps for each limit; the one used least recently goes first, and comes back full."""
METADATA = "mesh.rate_limits"
LIMITED_HEADER = "x-local-rate-limit"

_NAME = "envoy.filters.http.local_ratelimit"
_LIMIT_KEY = "limit"
_CLIENT_KEY = "masked_remote_address"
_CLAIM_ENTRY = "claim"
_NO_CLAIM = "(none)"
_IPV4_CLIENT_BITS = 32
_IPV6_CLIENT_BITS = 64
"""A client's IPv6 network, all of whose addresses it may use in turn."""


@dataclass(frozen=True, kw_only=True)
class _Limit:
    """One bucket, or one a client or claim value; `slot` is where its route's metadata holds its name, None for the edge's own."""

    name: str
    spec: RateLimitSpec
    slot: str | None


class _Limits(Feature, ABC):
    """One filter with the limits of some keys."""

    statistics: str
    over_all_edges = False

    @abstractmethod
    def has(self, key: str) -> bool:
        """Whether limits by this key are the filter's."""

    def filters(self, world: World) -> Iterable[HttpFilter]:
        limits = [limit for limit in _all(world) if self.has(limit.spec.by)]
        if limits:
            config = self._config(limits)
            yield HttpFilter(name=f"{_NAME}.{self.statistics}", typed_config=pack(config))

    def change_route(self, world: World, service: str, route: RouteSpec, built: Route) -> None:
        slots = {limit.slot: limit.name for limit in _of_route(service, route) if limit.slot and self.has(limit.spec.by)}
        if slots:
            built.metadata.filter_metadata[METADATA].update(slots)

    def _config(self, limits: list[_Limit]) -> LocalRateLimit:
        config = LocalRateLimit(
            stat_prefix=self.statistics,
            filter_enabled=_always(),
            filter_enforced=_always(),
            response_headers_to_add=[HeaderValueOption(header=HeaderValue(key=LIMITED_HEADER, value="true"))],
            enable_x_ratelimit_headers=XRateLimitHeadersRFCVersion.DRAFT_VERSION_03,
            rate_limited_as_resource_exhausted=True,
            descriptors=[_bucket(limit) for limit in limits],
            rate_limits=_lookups(limits),
            max_dynamic_descriptors=UInt32Value(value=CLIENTS_REMEMBERED),
            always_consume_default_token_bucket=BoolValue(value=False),
        )
        if self.over_all_edges:
            config.local_cluster_rate_limit.CopyFrom(LocalClusterRateLimit())
        return config


class RateLimits(_Limits):
    """By edge and by client; before anything asks who the client is."""

    statistics = "edge"

    def has(self, key: str) -> bool:
        return key in ("edge", "client")


class MeshRateLimits(_Limits):
    """Over all edges: Envoy divides each bucket by the number of machines in its own group, which discovery keeps current."""

    statistics = "mesh"
    over_all_edges = True

    def has(self, key: str) -> bool:
        return key == "mesh"


class ClaimRateLimits(_Limits):
    """By a claim of the verified token; after authentication."""

    statistics = "claim"

    def has(self, key: str) -> bool:
        return key.startswith(CLAIM_KEY)


def _all(world: World) -> Iterator[_Limit]:
    for index, spec in enumerate(world.spec.edge.rate_limits):
        yield _Limit(name=f"edge#{index}", spec=spec, slot=None)
    for name, service in sorted(world.spec.services.items()):
        for route in service.edge_routes.values():
            yield from _of_route(name, route)


def _of_route(service: str, route: RouteSpec) -> Iterator[_Limit]:
    place = f"{service}:{','.join(route.domains)}{route.prefix}"
    for index, spec in enumerate(route.rate_limits):
        yield _Limit(name=f"{place}#{index}", spec=spec, slot=f"{index}:{spec.by}")


def _bucket(limit: _Limit) -> LocalRateLimitDescriptor:
    entries = [RateLimitDescriptor.Entry(key=_LIMIT_KEY, value=limit.name)]
    # An entry without a value stands for any: each gets a bucket of its own.
    if limit.spec.by == "client":
        entries.append(RateLimitDescriptor.Entry(key=_CLIENT_KEY))
    elif limit.spec.by.startswith(CLAIM_KEY):
        entries.append(RateLimitDescriptor.Entry(key=_CLAIM_ENTRY))
    requests = limit.spec.requests
    bucket = TokenBucket(max_tokens=requests, tokens_per_fill=UInt32Value(value=requests), fill_interval=seconds(limit.spec.per))
    return LocalRateLimitDescriptor(entries=entries, token_bucket=bucket)


def _lookups(limits: list[_Limit]) -> list[RateLimit]:
    """How a request finds its buckets: one lookup for each limit of the edge, and for each slot that some route fills."""
    found: dict[str, RateLimit] = {}
    for limit in limits:
        found.setdefault(limit.slot or limit.name, RateLimit(actions=[_name_of(limit), *_who(limit)]))
    return list(found.values())


def _name_of(limit: _Limit) -> RateLimit.Action:
    if limit.slot is None:
        return RateLimit.Action(generic_key=RateLimit.Action.GenericKey(descriptor_key=_LIMIT_KEY, descriptor_value=limit.name))
    path = [MetadataKey.PathSegment(key=limit.slot)]
    source = RateLimit.Action.MetaData(
        descriptor_key=_LIMIT_KEY, metadata_key=MetadataKey(key=METADATA, path=path), source=RateLimit.Action.MetaData.ROUTE_ENTRY
    )
    return RateLimit.Action(metadata=source)


def _who(limit: _Limit) -> list[RateLimit.Action]:
    if limit.spec.by == "client":
        masks = RateLimit.Action.MaskedRemoteAddress(
            v4_prefix_mask_len=UInt32Value(value=_IPV4_CLIENT_BITS), v6_prefix_mask_len=UInt32Value(value=_IPV6_CLIENT_BITS)
        )
        return [RateLimit.Action(masked_remote_address=masks)]
    if limit.spec.by.startswith(CLAIM_KEY):
        path = [MetadataKey.PathSegment(key=key) for key in (PAYLOAD, limit.spec.by.removeprefix(CLAIM_KEY))]
        claim = RateLimit.Action.MetaData(
            descriptor_key=_CLAIM_ENTRY, metadata_key=MetadataKey(key=jwt.NAME, path=path), source=RateLimit.Action.MetaData.DYNAMIC
        )
        if limit.slot:
            # Everybody has a token on such a route, and those whose token lacks the claim share a bucket.
            claim.default_value = _NO_CLAIM
        return [RateLimit.Action(metadata=claim)]
    return []


def _always() -> RuntimeFractionalPercent:
    return RuntimeFractionalPercent(default_value=FractionalPercent(numerator=100))
