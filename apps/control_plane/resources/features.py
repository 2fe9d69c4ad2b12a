"""The edge's features in the order in which a request meets their filters."""

from apps.control_plane.resources.feature import Feature

FEATURES: tuple[Feature, ...] = ()
"""Order: what costs least and refuses most comes first (maintenance, limits by address, CORS, CSRF), then who it is
(login, JWT, RBAC, external authorizer), then limits by who it is, then what changes the request (bridge)."""
