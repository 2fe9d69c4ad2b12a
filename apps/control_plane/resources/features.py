"""The edge's features in the order in which a request meets their filters."""

from apps.control_plane.resources.claims import ClaimHeaders, Require
from apps.control_plane.resources.feature import Feature
from apps.control_plane.resources.jwt import Jwt
from apps.control_plane.resources.rate_limit import ClaimRateLimits, MeshRateLimits, RateLimits
from apps.control_plane.resources.rate_limit_service import RateLimitService

FEATURES: tuple[Feature, ...] = (ClaimHeaders(), RateLimits(), MeshRateLimits(), RateLimitService(), Jwt(), Require(), ClaimRateLimits())
"""Order: what costs least and refuses most comes first (maintenance, limits by address, CORS, CSRF), then who it is
(login, JWT, RBAC, external authorizer), then limits by who it is, then what changes the request (bridge)."""
