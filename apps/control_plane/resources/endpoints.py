"""EDS: the live machines of a group, by zone."""

from collections.abc import Iterable
from ipaddress import IPv4Address
from itertools import groupby

from envoy.config.core.v3.base_pb2 import Locality
from envoy.config.core.v3.health_check_pb2 import HealthStatus
from envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint as EnvoyEndpoint
from envoy.config.endpoint.v3.endpoint_components_pb2 import LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment

from apps.control_plane.model import Endpoint, EndpointState
from apps.control_plane.resources.protos import address


def assignment(name: str, members: Iterable[Endpoint], port: int) -> ClusterLoadAssignment:
    """`members` on `port`, in an order that does not depend on discovery's.

    A draining member is DRAINING, never UNHEALTHY: many unhealthy hosts would look like a broken check.
    """
    ordered = sorted(members, key=lambda member: (member.zone, IPv4Address(member.address)))
    return ClusterLoadAssignment(
        cluster_name=name,
        endpoints=[
            LocalityLbEndpoints(
                locality=Locality(zone=zone),
                lb_endpoints=[_endpoint(member, port) for member in group],
            )
            for zone, group in groupby(ordered, key=lambda member: member.zone)
        ],
    )


def _endpoint(member: Endpoint, port: int) -> LbEndpoint:
    draining = member.state is EndpointState.DRAINING
    return LbEndpoint(
        endpoint=EnvoyEndpoint(address=address(member.address, port), hostname=member.instance),
        health_status=HealthStatus.DRAINING if draining else HealthStatus.UNKNOWN,
    )
