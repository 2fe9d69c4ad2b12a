"""What `./mesh smoke` tries on routes that ask the edge's authorizer: that it decides, whichever way."""

from collections.abc import Mapping

import httpx

from cli.finding import Finding
from cli.smoke_door import Door
from cli.smoke_hops import SAMPLE
from cli.smoke_routes import body_of
from model.edge import AuthorizerSpec, RouteSpec
from model.spec import ServiceSpec

SERVED = "x-envoy-upstream-service-time"
"""On answers of services, as the first edge passes them on; the authorizer's refusals have it not."""
AWAY = 503
"""What the edge answers for an authorizer that does not (`failOpen: false`)."""


async def asked(
    door: Door, authorizer: AuthorizerSpec, what: str, service: ServiceSpec, route: RouteSpec, headers: Mapping[str, str]
) -> Finding:
    """One request, which the authorizer lets pass or refuses; without it, the edge's own 503."""
    is_sample = service.image.build == SAMPLE and route.strip
    path = f"{route.prefix.rstrip('/')}/info" if is_sample else route.prefix

    def served(answer: httpx.Response) -> bool | None:
        """None: nothing in the answer says whose it is."""
        if is_sample:
            return "instance_id" in body_of(answer)
        if len(door.front) > 1:
            return None
        return SERVED in answer.headers

    def show(answer: httpx.Response) -> str:
        if (passed := served(answer)) is None:
            return f"{answer.status_code} of the authorizer or of the service"
        if passed:
            return f"{answer.status_code}, allowed" + (" by it, or in its absence (failOpen)" if authorizer.fail_open else " by it")
        if answer.status_code >= AWAY:
            return f"{answer.status_code}: {authorizer.address} is away, or slower than {authorizer.timeout:g} s"
        return f"{answer.status_code}, refused by it"

    def passes(answer: httpx.Response) -> bool:
        return answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR

    return await door.finding(f"{what}, the authorizer asked", "its decision", path, show, passes=passes, headers=headers)
