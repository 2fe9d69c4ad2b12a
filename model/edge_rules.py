"""What must hold between values of the edge's part of a stack config; see `rules`."""

from collections.abc import Iterator

from model.edge import EdgeSpec, RateLimitSpec, RouteSpec
from model.edge_words import CLAIM_KEY
from model.problems import Problem
from model.spec import ServiceSpec

SHORTEST_FILL = 0.05
"""Seconds; Envoy fills buckets no more often."""

Routes = list[tuple[str, RouteSpec]]
"""Each route with its place in the config."""


def check(root: str, edge: EdgeSpec, services: dict[str, ServiceSpec]) -> Iterator[Problem]:
    """All problems of the edge and the routes that could be read."""
    routes = [
        (f"{root}.services.{name}.{part}", route) for name, service in services.items() for part, route in service.edge_routes.items()
    ]
    for rule in _RULES:
        yield from rule(f"{root}.edge", edge, routes)


def _limits_can_be_kept(place: str, edge: EdgeSpec, routes: Routes) -> Iterator[Problem]:
    for path, limit in _limits(place, edge, routes):
        if limit.per < SHORTEST_FILL:
            yield Problem(f"{path}.per", f"{limit.per * 1000:g}ms", "a bucket fills no faster than in 50ms", "write for example `per: 1s`")
        # A replaced edge and its successor are both there for a while.
        least = 2 * edge.instances
        if limit.by == "mesh" and limit.requests < least:
            yield Problem(
                f"{path}.requests",
                str(limit.requests),
                f"a total over all edges is at least twice their number ({edge.instances}), or an edge's share would be no request at all",
                f"write {least} or more, with a `per` as much longer",
            )


def _limits_by_claim_have_a_token(place: str, edge: EdgeSpec, routes: Routes) -> Iterator[Problem]:
    for index, limit in enumerate(edge.rate_limits):
        if limit.by.startswith(CLAIM_KEY) and edge.auth is None:
            yield Problem(f"{place}.rateLimits[{index}].by", repr(limit.by), "without `edge.auth` nobody has a token", "limit by `client`")
    for path, route in routes:
        for index, limit in enumerate(route.rate_limits):
            if limit.by.startswith(CLAIM_KEY) and route.auth == "public":
                yield Problem(
                    f"{path}.rateLimits[{index}].by",
                    repr(limit.by),
                    "the route is public, so its requests have no token",
                    "add `auth: jwt`, or limit by `client`",
                )


def _authorizer_is_there(place: str, edge: EdgeSpec, routes: Routes) -> Iterator[Problem]:
    for path, route in routes:
        if route.authorize and edge.authorizer is None:
            yield Problem(f"{path}.authorize", "true", "the edge has no authorizer", f"add `authorizer: {{address: …}}` to {place}")


def _any_origin_has_no_credentials(place: str, edge: EdgeSpec, routes: Routes) -> Iterator[Problem]:
    for path, route in routes:
        if route.cors and route.cors.credentials and "*" in route.cors.origins:
            yield Problem(
                f"{path}.cors.credentials",
                "true",
                "with credentials for any origin, every site could act as the user",
                "list the origins, or remove `credentials`",
            )


def _stars_have_no_credentials(place: str, edge: EdgeSpec, routes: Routes) -> Iterator[Problem]:
    for path, route in routes:
        if route.cors and route.cors.credentials:
            for key, words in (("methods", route.cors.methods), ("headers", route.cors.headers)):
                if "*" in words:
                    rule = "with credentials browsers take `*` for a name, not for all of them"
                    yield Problem(f"{path}.cors.{key}", "'*'", rule, f"list the {key}, or remove `credentials`")


def _authorizers_headers_differ(place: str, edge: EdgeSpec, routes: Routes) -> Iterator[Problem]:
    headers = edge.authorizer.headers if edge.authorizer else []
    for index, header in enumerate(headers):
        if header in headers[:index]:
            yield Problem(f"{place}.authorizer.headers[{index}]", repr(header), "it is in the list already", "remove it")


def _limits(place: str, edge: EdgeSpec, routes: Routes) -> Iterator[tuple[str, RateLimitSpec]]:
    for owner, limits in [(place, edge.rate_limits), *((path, route.rate_limits) for path, route in routes)]:
        for index, limit in enumerate(limits):
            yield f"{owner}.rateLimits[{index}]", limit


_RULES = (
    _limits_can_be_kept,
    _limits_by_claim_have_a_token,
    _authorizer_is_there,
    _authorizers_headers_differ,
    _any_origin_has_no_credentials,
    _stars_have_no_credentials,
)
