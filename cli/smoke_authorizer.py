"""What `./mesh smoke` tries on routes that ask the edge's authorizer: that it decides, whichever way."""

from collections.abc import Mapping

import httpx

from cli.finding import Finding
from cli.smoke_door import Door
from cli.smoke_hops import SAMPLE
from cli.smoke_routes import body_of
from model.edge import AuthorizerSpec, RouteSpec
from model.spec import ServiceSpec

AWAY = 503
"""What the edge answers for an authorizer that does not (`failOpen: false`)."""


async def asked(
    door: Door, authorizer: AuthorizerSpec, what: str, service: ServiceSpec, route: RouteSpec, headers: Mapping[str, str]
) -> Finding:
    """One request, which the authorizer lets pass or refuses; without it, the edge's own 503."""
    is_sample = service.image.build == SAMPLE and route.strip
    path = f"{route.prefix.rstrip('/')}/info" if is_sample else route.prefix

    def show(answer: httpx.Response) -> str:
        if answer.status_code == AWAY:
            return f"503: {authorizer.address} is away, slower than {authorizer.timeout:g} s, or says so itself"
        if "instance_id" in body_of(answer) if is_sample else answer.is_success:
            return f"{answer.status_code}, allowed by it" + (", or in its absence (failOpen)" if authorizer.fail_open else "")
        # Nothing in another image's answer says that it is not the authorizer's.
        return f"{answer.status_code}, refused by it" + ("" if is_sample else ", or by the service")

    def passes(answer: httpx.Response) -> bool:
        return answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR

    return await door.finding(f"{what}, the authorizer asked", "its decision", path, show, passes=passes, headers=headers)
