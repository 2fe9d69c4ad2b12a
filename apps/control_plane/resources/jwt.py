"""Who a request is from: tokens of the edge's issuer, verified before any service sees the request.

Each route says for itself that it needs a token, so what Envoy routes and what it guards cannot differ by a path trick.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.extensions.filters.http.jwt_authn.v3.config_pb2 import (
    JwksAsyncFetch,
    JwtAuthentication,
    JwtCacheConfig,
    JwtClaimToHeader,
    JwtHeader,
    JwtProvider,
    JwtRequirement,
    PerRouteConfig,
    RemoteJwks,
)
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from google.protobuf.message import Message

from apps.control_plane.model import World
from apps.control_plane.resources import issuer
from apps.control_plane.resources.claims import PAYLOAD, PAYLOAD_HEADER
from apps.control_plane.resources.feature import Feature
from apps.control_plane.resources.protos import duration, pack
from model.edge import AuthSpec, RouteSpec
from model.edge_words import CLAIM_KEY

NAME = "envoy.filters.http.jwt_authn"
PROVIDER = "issuer"
REQUIREMENT = "token"
KEYS_LIVE = timedelta(minutes=1)
"""How long fetched keys are used: an issuer must publish a key for longer than this before it signs with it."""
REFETCH = timedelta(seconds=1)
"""To the next attempt after the keys could not be fetched."""
CACHED_TOKENS = 1000
"""Verified tokens that a worker remembers; their times are checked again each time."""


class Jwt(Feature):
    """Routes with `auth: jwt` or `login` need a valid token; while the issuer or its keys are away, they answer 401."""

    def filters(self, world: World) -> Iterable[HttpFilter]:
        auth, endpoints = world.spec.edge.auth, issuer.endpoints_of(world)
        if auth and endpoints:
            config = _authentication(auth, endpoints, with_claims=_are_claims_read(world))
            yield HttpFilter(name=NAME, typed_config=pack(config), disabled=True)

    def of_route(self, world: World, service: str, route: RouteSpec) -> Mapping[str, Message]:
        return {NAME: PerRouteConfig(requirement_name=REQUIREMENT)} if route.auth != "public" else {}

    def clusters(self, world: World) -> Iterable[Cluster]:
        if endpoints := issuer.endpoints_of(world):
            return issuer.clusters([endpoints.jwks, endpoints.token], is_local=world.spec.is_local)
        return ()


def _are_claims_read(world: World) -> bool:
    """Whether a filter behind this one looks into the payload: a copy of it for each request is not to be had for nothing."""
    routes = [route for service in world.spec.services.values() for route in service.edge_routes.values()]
    limits = [*world.spec.edge.rate_limits, *(limit for route in routes for limit in route.rate_limits)]
    return any(route.require for route in routes) or any(limit.by.startswith(CLAIM_KEY) for limit in limits)


def _authentication(auth: AuthSpec, endpoints: issuer.Endpoints, *, with_claims: bool) -> JwtAuthentication:
    keys = RemoteJwks(
        http_uri=issuer.uri(endpoints.jwks),
        cache_duration=duration(KEYS_LIVE),
        # Not waiting for the keys: a listener must come up, and serve what is public, while the issuer is away.
        async_fetch=JwksAsyncFetch(fast_listener=True, failed_refetch_duration=duration(REFETCH)),
    )
    provider = JwtProvider(
        issuer=endpoints.issuer,
        audiences=list(auth.audiences),
        remote_jwks=keys,
        require_expiration=True,
        from_headers=[JwtHeader(name="authorization", value_prefix="Bearer ")],
        forward_payload_header=PAYLOAD_HEADER,
        claim_to_headers=[JwtClaimToHeader(header_name=name, claim_name=claim) for name, claim in sorted(auth.claims_to_headers.items())],
        jwt_cache_config=JwtCacheConfig(jwt_cache_size=CACHED_TOKENS),
    )
    if with_claims:
        provider.payload_in_metadata = PAYLOAD
    return JwtAuthentication(providers={PROVIDER: provider}, requirement_map={REQUIREMENT: JwtRequirement(provider_name=PROVIDER)})
