"""The edge's features in the order in which a request meets their filters."""

from apps.control_plane.resources.authorizer import Authorizer
from apps.control_plane.resources.bridge import Http1, Json, Web
from apps.control_plane.resources.claims import ClaimHeaders, Require
from apps.control_plane.resources.cors import Cors
from apps.control_plane.resources.csrf import Csrf
from apps.control_plane.resources.feature import Feature
from apps.control_plane.resources.hardening import PlainRequests, SecurityHeaders
from apps.control_plane.resources.identity import Identity
from apps.control_plane.resources.jwt import Jwt
from apps.control_plane.resources.login import Login
from apps.control_plane.resources.maintenance import Maintenance
from apps.control_plane.resources.rate_limit import ClaimRateLimits, MeshRateLimits, RateLimits
from apps.control_plane.resources.rate_limit_service import RateLimitService
from apps.control_plane.resources.session_cookies import SessionCookies

FEATURES: tuple[Feature, ...] = (
    SecurityHeaders(),
    PlainRequests(),
    Cors(),
    Http1(),
    Web(),
    RateLimits(),
    MeshRateLimits(),
    Maintenance(),
    RateLimitService(),
    Csrf(),
    ClaimHeaders(),
    Identity(),
    Login(),
    SessionCookies(),
    Jwt(),
    Require(),
    Authorizer(),
    ClaimRateLimits(),
    Json(),
)
"""Order: first what writes on every answer (security headers, CORS, so that scripts can read refusals; gRPC's other forms, so
that a refusal is in their clients' words), then what costs least and refuses most (limits by address, which count whatever may
be refused behind them; maintenance, CSRF), then who it is (a token's form, login, JWT, RBAC, external authorizer), then limits by
who it is, then what changes the request (JSON)."""

OUTER_FEATURES = tuple(feature for feature in FEATURES if feature.at_outer)
"""What outer edges do; who comes, how often, and what becomes of the request is judged by the origin alone, exactly once."""
