"""A rate limit service of the user's own (RLS v3): it is asked about each request before anything else touches it."""

from collections.abc import Iterable
from datetime import timedelta

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.config_source_pb2 import ApiVersion
from envoy.config.core.v3.grpc_service_pb2 import GrpcService
from envoy.config.ratelimit.v3.rls_pb2 import RateLimitServiceConfig
from envoy.config.route.v3.route_components_pb2 import RateLimit as Descriptor
from envoy.config.route.v3.route_components_pb2 import Route
from envoy.extensions.filters.http.ratelimit.v3.rate_limit_pb2 import RateLimit
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.type.metadata.v3.metadata_pb2 import MetadataKey

from apps.control_plane.model import World
from apps.control_plane.resources import external
from apps.control_plane.resources.feature import Feature
from apps.control_plane.resources.protos import duration, pack
from model.edge import RateLimitServiceSpec, RouteSpec

CLUSTER = "rate-limit-service"
METADATA = "mesh.rate_limit_service"
TIMEOUT = timedelta(milliseconds=100)
"""For an answer; then the service counts as away."""

_NAME = "envoy.filters.http.ratelimit"
_ROUTE = "route"


class RateLimitService(Feature):
    """Descriptors are `remote_address`, `route` and both; the limits themselves are the service's."""

    def filters(self, world: World) -> Iterable[HttpFilter]:
        if service := world.spec.edge.rate_limit_service:
            yield HttpFilter(name=_NAME, typed_config=pack(_config(service)))

    def change_route(self, world: World, service: str, route: RouteSpec, built: Route) -> None:
        if world.spec.edge.rate_limit_service:
            built.metadata.filter_metadata[METADATA].update({_ROUTE: f"{service}:{route.prefix}"})

    def clusters(self, world: World) -> Iterable[Cluster]:
        if service := world.spec.edge.rate_limit_service:
            yield external.cluster(CLUSTER, service.address, http2=True, is_local=world.spec.is_local)


def _config(service: RateLimitServiceSpec) -> RateLimit:
    client = Descriptor.Action(remote_address=Descriptor.Action.RemoteAddress())
    key = MetadataKey(key=METADATA, path=[MetadataKey.PathSegment(key=_ROUTE)])
    source = Descriptor.Action.MetaData(descriptor_key=_ROUTE, metadata_key=key, source=Descriptor.Action.MetaData.ROUTE_ENTRY)
    route = Descriptor.Action(metadata=source)
    return RateLimit(
        domain=service.domain,
        timeout=duration(TIMEOUT),
        failure_mode_deny=not service.fail_open,
        rate_limited_as_resource_exhausted=True,
        enable_x_ratelimit_headers=RateLimit.DRAFT_VERSION_03,
        rate_limit_service=RateLimitServiceConfig(
            grpc_service=GrpcService(envoy_grpc=GrpcService.EnvoyGrpc(cluster_name=CLUSTER)), transport_api_version=ApiVersion.V3
        ),
        rate_limits=[Descriptor(actions=[client]), Descriptor(actions=[route]), Descriptor(actions=[route, client])],
    )
