"""The part of the stack config that says what the edge does: TLS, login, limits, and what each route asks for."""

from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictInt

from model import address_words, edge_words, token_words, words
from model.base import InstanceType, Parameter, Port, Seconds, Spec

Auth = Literal["public", "jwt", "login"]
Origin = Annotated[str, BeforeValidator(address_words.origin)]
AnyOrigin = Annotated[str, BeforeValidator(address_words.origin_or_any)]
Url = Annotated[str, BeforeValidator(address_words.https_url)]
Address = Annotated[str, BeforeValidator(address_words.host_and_port)]
Domain = Annotated[str, BeforeValidator(words.domain)]
Line = Annotated[str, BeforeValidator(words.line)]
Scope = Annotated[str, BeforeValidator(token_words.scope)]
Claim = Annotated[str, BeforeValidator(token_words.claim)]
EdgeHeader = Annotated[str, BeforeValidator(edge_words.header_name)]


GRPC_WEB_HEADERS = ("authorization", "content-type", "grpc-timeout", "x-grpc-web", "x-user-agent")
"""Request headers of gRPC-Web's own clients."""


class CertificateSpec(Spec):
    """A certificate for domains of its own, chosen by SNI; its chain and key are two SSM parameters below `secret`."""

    domains: list[Domain] = Field(min_length=1, description="host names that the certificate is for", examples=["[shop.example.com]"])
    secret: Parameter = Field(description="SSM path that holds `certificate` and `key` (PEM)", examples=["/team/shop-tls"])


class AcmeSpec(Spec):
    email: Annotated[str, BeforeValidator(edge_words.email)] = Field(
        description="where the certificate authority writes to", examples=["ops@example.com"]
    )
    directory: Url = Field(description="the authority's ACME directory (RFC 8555)", examples=["https://acme.example.com/directory"])
    domains: list[Domain] = Field(min_length=1, description="host names below a public Route 53 zone", examples=["[www.example.com]"])


class TlsSpec(Spec):
    mode: Literal["self-signed", "secret", "acme"] = Field(
        "self-signed", description="where the edge's certificate comes from", examples=["self-signed"]
    )
    secret: Parameter | None = Field(
        None, description="for mode `secret`: SSM path that holds `certificate` and `key` (PEM)", examples=["/team/edge-tls"]
    )
    acme: AcmeSpec | None = None
    certificates: list[CertificateSpec] = Field([], description="further certificates, chosen by SNI", examples=["[]"])
    hsts: Annotated[str, BeforeValidator(edge_words.days)] | None = Field(
        None, description="how long browsers must use TLS (RFC 6797), in days", examples=["365d"]
    )


class LoginSpec(Spec):
    """OAuth2 authorization code flow with PKCE, at the edge."""

    client_id: Annotated[str, BeforeValidator(token_words.client_id)] = Field(
        description="the edge's client id at the issuer; none of the `audiences`", examples=["mesh-edge"]
    )
    client_secret: Parameter | None = Field(
        None, description="SSM parameter with the client secret; the builtin issuer needs none", examples=["/team/oauth-secret"]
    )
    scopes: list[Scope] = Field(["openid"], min_length=1, description="scopes to ask for", examples=["[openid, email]"])
    redirect_domains: list[Domain] = Field(
        [], description="the only hosts where a login may start, and so return to; empty means any", examples=["[shop.example.com]"]
    )


class AuthSpec(Spec):
    issuer: Annotated[str, BeforeValidator(token_words.issuer)] = Field(
        description="an OIDC issuer's URL, or `builtin`", examples=["https://login.example.com"]
    )
    jwks: Url | None = Field(None, description="the issuer's keys, where it has no discovery", examples=["https://login.example.com/jwks"])
    authorization_endpoint: Url | None = Field(
        None, description="where it has no discovery", examples=["https://login.example.com/authorize"]
    )
    token_endpoint: Url | None = Field(None, description="where it has no discovery", examples=["https://login.example.com/token"])
    audiences: list[Line] = Field(min_length=1, description="audiences that a token may have", examples=["[mesh]"])
    claims_to_headers: dict[EdgeHeader, Annotated[str, BeforeValidator(token_words.header_claim)]] = Field(
        {}, description="request header → claim that fills it", examples=["{x-user: sub}"]
    )
    token_life: Seconds | None = Field(
        None, description="how long access tokens of the builtin issuer are good; 10 minutes if not set", examples=["10m"]
    )
    login: LoginSpec | None = None


class RateLimitSpec(Spec):
    """A token bucket: `requests` in each `per`, and as many at once."""

    requests: StrictInt = Field(ge=1, le=1_000_000, description="requests allowed in each `per`", examples=[100])
    per: Seconds = Field(1.0, description="the time that refills the bucket, such as `1s` or `1m`", examples=["1s"])
    by: Annotated[str, BeforeValidator(edge_words.limit_key)] = Field(
        "edge", description="who has a bucket: `edge`, `client`, `mesh` (all edges together) or `claim:<name>`", examples=["client"]
    )


class RateLimitServiceSpec(Spec):
    """A rate limit service of the user's own (Envoy's RLS v3 API)."""

    address: Address = Field(description="host:port of the service, gRPC", examples=["limits.example.com:8081"])
    domain: Line = Field("edge", description="the service's domain for these limits", examples=["edge"])
    fail_open: StrictBool = Field(True, description="let requests pass while the service is away", examples=["true"])


class AuthorizerSpec(Spec):
    """An external authorizer of the user's own (Envoy's ext_authz, HTTP)."""

    address: Address = Field(description="host:port of the service", examples=["authz.example.com:9000"])
    fail_open: StrictBool = Field(False, description="let requests pass while the service is away", examples=["false"])
    timeout: Seconds = Field(0.5, description="time for its answer", examples=["500ms"])
    headers: list[EdgeHeader] = Field(
        [], description="headers of its answer that apps get; clients cannot send them", examples=["[x-current-user]"]
    )


class OuterSpec(Spec):
    """Edges of a region nearer to some clients: they end the client's TLS there and lead to the mesh's own edges."""

    region: Annotated[str, BeforeValidator(words.region)] = Field(
        description="an AWS region other than the mesh's own", examples=["us-east-1"]
    )
    cidr: Annotated[IPv4Network, BeforeValidator(words.network)] = Field(
        description="the range of the VPC there, /16 to /20; it overlaps no other range of the mesh", examples=["10.30.0.0/16"]
    )
    instances: StrictInt = Field(2, ge=1, le=20, description="edge machines, each with its own Elastic IP", examples=[2])
    zones: StrictInt = Field(2, ge=1, le=6, description="availability zones to spread over", examples=[2])
    ami: Annotated[str, BeforeValidator(words.ami)] | None = Field(
        None, description="id of an Ubuntu 24.04 LTS image in that region", examples=["ami-0123456789abcdef0"]
    )


class EdgeSpec(Spec):
    instances: StrictInt = Field(2, ge=1, le=20, description="edge machines, each with its own Elastic IP", examples=[2])
    https: Port = Field(443, description="port of the TLS listener", examples=[443])
    http: Port = Field(80, description="port that redirects to HTTPS", examples=[80])
    tls: TlsSpec = TlsSpec()
    auth: AuthSpec | None = None
    rate_limits: list[RateLimitSpec] = Field([], description="limits of all requests", examples=["[{requests: 100, by: client}]"])
    rate_limit_service: RateLimitServiceSpec | None = None
    authorizer: AuthorizerSpec | None = None
    outer: list[OuterSpec] = Field(
        [], description="edges in other regions, nearer to their clients", examples=["[{region: us-east-1, cidr: 10.30.0.0/16}]"]
    )
    instance_type: InstanceType = Field("t3.small", description="an EC2 instance type", examples=["t3.small"])


class RequireSpec(Spec):
    """What a token must say beyond being valid."""

    scopes: list[Scope] = Field([], description="scopes that the token must all have", examples=["[orders.read]"])
    claims: dict[Claim, Annotated[list[Line], BeforeValidator(token_words.claim_values)]] = Field(
        {}, description="claim → values of which it must have one", examples=["{role: [admin]}"]
    )


class CorsSpec(Spec):
    origins: list[AnyOrigin] = Field(
        min_length=1, description="origins that scripts may come from; `*` is any", examples=['["https://*.example.com"]']
    )
    methods: list[Annotated[str, BeforeValidator(edge_words.method)]] = Field(
        ["GET", "POST"], description="methods that scripts may use", examples=["[GET, POST]"]
    )
    headers: list[Annotated[str, BeforeValidator(edge_words.cors_header)]] = Field(
        [], description="request headers that scripts may send", examples=["[content-type]"]
    )
    credentials: StrictBool = Field(False, description="whether cookies may be sent", examples=["false"])


class CsrfSpec(Spec):
    origins: list[Origin] = Field([], description="origins allowed beside the route's own", examples=['["https://app.example.com"]'])
    enforce: StrictBool = Field(True, description="`false` counts what would be refused and lets it pass", examples=["true"])


class EntrySpec(Spec):
    """A way through the edge to a service, and what is asked of requests on it."""

    prefix: Annotated[str, BeforeValidator(words.route_prefix)] = Field(description="a path prefix of the edge", examples=["/web"])
    timeout: Seconds = Field(15.0, description="time for a whole response, such as `15s` or `500ms`", examples=["15s"])
    auth: Auth = Field("public", description="who may come: everybody, who has a token, or who logged in", examples=["jwt"])
    require: RequireSpec | None = None
    rate_limits: list[RateLimitSpec] = Field([], description="limits of its requests", examples=["[{requests: 10, by: client}]"])
    cors: CorsSpec | None = None
    csrf: CsrfSpec | None = None
    authorize: StrictBool = Field(False, description="ask the edge's `authorizer`", examples=["true"])
    maintenance: StrictBool = Field(False, description="answer 503 with a maintenance page instead of the service", examples=["true"])


class RouteSpec(EntrySpec):
    """Paths of the edge that lead to the service: `prefix` itself and everything below `prefix/`."""

    strip: StrictBool = Field(True, description="take the prefix off before the app sees the path", examples=["true"])
    domains: list[Domain] = Field([], description="host names that the route is for; empty means all", examples=["[shop.example.com]"])
    websocket: StrictBool = Field(False, description="allow WebSocket upgrades", examples=["true"])


class BridgeSpec(EntrySpec):
    """HTTP clients for a gRPC service: JSON by `google.api.http`, gRPC-Web, gRPC over HTTP/1.1 and native gRPC.

    What it asks of requests holds for each of these alike.
    """

    prefix: Annotated[str, BeforeValidator(edge_words.bridge_prefix)] = Field(
        description="JSON paths and gRPC-Web are below it; native gRPC is also at its own paths", examples=["/grpc-1"]
    )
    proto: Annotated[str, BeforeValidator(edge_words.proto_file)] = Field(
        description="the service's proto file, relative to the repository", examples=["apps/protos/info.proto"]
    )
    timeout: Seconds = Field(15.0, description="time for a call whose client sets no deadline (`grpc-timeout`)", examples=["15s"])
    cors: CorsSpec | None = Field(None, description="origins of gRPC-Web scripts, as for a route")
    maintenance: StrictBool = Field(False, description="answer 503 or UNAVAILABLE instead of the service", examples=["true"])

    @property
    def route(self) -> RouteSpec:
        """What the edge's features see of it: the same as of a route."""
        cors = self.cors and self.cors.model_copy(update={"headers": sorted({*self.cors.headers, *GRPC_WEB_HEADERS})})
        shared = {name: getattr(self, name) for name in EntrySpec.model_fields}
        return RouteSpec.model_construct(**shared | {"cors": cors})
