"""What surrounds the verification of tokens: headers that only the edge may write, the form of a token, and what its claims must say."""

import re
from collections.abc import Iterable, Mapping

from envoy.config.rbac.v3.rbac_pb2 import RBAC as Rules
from envoy.config.rbac.v3.rbac_pb2 import Permission, Policy, Principal, SourcedMetadata
from envoy.config.route.v3.route_components_pb2 import HeaderMatcher
from envoy.extensions.filters.http.rbac.v3.rbac_pb2 import RBAC, RBACPerRoute
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.type.matcher.v3.metadata_pb2 import MetadataMatcher
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from envoy.type.matcher.v3.value_pb2 import ListMatcher, OrMatcher, ValueMatcher
from google.protobuf.message import Message

from apps.control_plane.model import World
from apps.control_plane.resources.feature import Feature
from apps.control_plane.resources.protos import pack
from model.edge import RequireSpec, RouteSpec

PAYLOAD_HEADER = "x-jwt-payload"
"""The verified token's payload, base64url, as services get it."""
PAYLOAD = "payload"
"""Key of the payload in the dynamic metadata of jwt_authn."""
SCOPE_CLAIMS = ("scope", "scp")
"""Where issuers write scopes: as words of a text (RFC 9068), or as a list. A pattern finds the word: to have jwt_authn split
the text costs each request another copy of the payload."""

FORM_NAME = "mesh.token_form"
REQUIRE_NAME = "envoy.filters.http.rbac"

_JWT_METADATA = "envoy.filters.http.jwt_authn"
_TOKEN = "Bearer [A-Za-z0-9_-]+[.][A-Za-z0-9_-]+[.][A-Za-z0-9_-]+"
_LIKE_TOKEN = ".*Bearer .*[.].*[.].*"


class ClaimHeaders(Feature):
    """What a client sends in the place of verified claims is dropped, on public routes too; no route must trust it.

    jwt_authn looks for its token anywhere in the header and leaves out what follows it, so `Basic x, Bearer <token>`
    and a token with a dot at its end would pass; whatever has the dots of a token must be one and nothing else.
    """

    def own_headers(self, world: World) -> Iterable[str]:
        auth = world.spec.edge.auth
        return (PAYLOAD_HEADER, *auth.claims_to_headers) if auth else ()

    def filters(self, world: World) -> Iterable[HttpFilter]:
        if world.spec.edge.auth:
            yield HttpFilter(name=FORM_NAME, typed_config=pack(RBAC()), disabled=True)

    def of_route(self, world: World, service: str, route: RouteSpec) -> Mapping[str, Message]:
        return {FORM_NAME: RBACPerRoute(rbac=RBAC(rules=_well_formed()))} if route.auth != "public" else {}


class Require(Feature):
    """A route's `require`: every scope, and of every claim one of the values; else 403."""

    def filters(self, world: World) -> Iterable[HttpFilter]:
        if world.spec.edge.auth:
            yield HttpFilter(name=REQUIRE_NAME, typed_config=pack(RBAC()), disabled=True)

    def of_route(self, world: World, service: str, route: RouteSpec) -> Mapping[str, Message]:
        return {REQUIRE_NAME: RBACPerRoute(rbac=RBAC(rules=_required(route.require)))} if route.require else {}


def _well_formed() -> Rules:
    def header(regex: str, *, invert: bool) -> Permission:
        matcher = StringMatcher(safe_regex=RegexMatcher(regex=regex))
        return Permission(header=HeaderMatcher(name="authorization", string_match=matcher, invert_match=invert))

    # The first rule that does not hold ends the search: a plain token, which nearly all are, costs one pattern.
    odd = Permission.Set(rules=[header(_TOKEN, invert=True), header(_LIKE_TOKEN, invert=False)])
    return Rules(action=Rules.DENY, policies={"malformed-token": Policy(permissions=[Permission(and_rules=odd)], principals=[_anyone()])})


def _required(require: RequireSpec) -> Rules:
    wanted = [_has_scope(scope) for scope in require.scopes]
    wanted += [_has_one_of(claim, values) for claim, values in sorted(require.claims.items())]
    principal = Principal(and_ids=Principal.Set(ids=wanted)) if wanted else _anyone()
    return Rules(action=Rules.ALLOW, policies={"required-claims": Policy(permissions=[Permission(any=True)], principals=[principal])})


def _has_scope(scope: str) -> Principal:
    matches = [_word(scope), _in_list(_text(scope))]
    return Principal(or_ids=Principal.Set(ids=[_claim([claim], _any_of(matches)) for claim in SCOPE_CLAIMS]))


def _has_one_of(claim: str, values: Iterable[str]) -> Principal:
    """A text, a truth value, or a list of texts; a dot in the claim's name leads into an object, unless the name is a URL."""
    path = [claim] if "://" in claim else claim.split(".")
    text = _word if claim in SCOPE_CLAIMS else _text
    matches = [match for value in values for match in (text(value), _in_list(_text(value)), *_truth(value))]
    return _claim(path, _any_of(matches))


def _claim(path: list[str], value: ValueMatcher) -> Principal:
    segments = [MetadataMatcher.PathSegment(key=key) for key in (PAYLOAD, *path)]
    matcher = MetadataMatcher(filter=_JWT_METADATA, path=segments, value=value)
    return Principal(sourced_metadata=SourcedMetadata(metadata_matcher=matcher))


def _text(value: str) -> ValueMatcher:
    return ValueMatcher(string_match=StringMatcher(exact=value))


def _word(value: str) -> ValueMatcher:
    """One of the words of a text."""
    return ValueMatcher(string_match=StringMatcher(safe_regex=RegexMatcher(regex=f"(.* )?{re.escape(value)}( .*)?")))


def _any_of(matches: Iterable[ValueMatcher]) -> ValueMatcher:
    return ValueMatcher(or_match=OrMatcher(value_matchers=matches))


def _in_list(value: ValueMatcher) -> ValueMatcher:
    return ValueMatcher(list_match=ListMatcher(one_of=value))


def _truth(value: str) -> list[ValueMatcher]:
    return [ValueMatcher(bool_match=value == "true")] if value in ("true", "false") else []


def _anyone() -> Principal:
    return Principal(any=True)
