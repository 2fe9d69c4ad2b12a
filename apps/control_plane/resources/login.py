"""Browsers log in at the edge: OAuth 2 authorization code flow with PKCE; everybody else brings a token of their own.

The token that a login ends in goes to jwt_authn like any other, so a route's `require` holds for both.
"""

from collections.abc import Iterable, Mapping

from envoy.config.core.v3.base_pb2 import DataSource
from envoy.config.route.v3.route_components_pb2 import DirectResponseAction, FilterConfig, HeaderMatcher, Route, RouteMatch
from envoy.extensions.filters.http.lua.v3.lua_pb2 import Lua
from envoy.extensions.filters.http.oauth2.v3.oauth_pb2 import CookieConfig, CookieConfigs, OAuth2, OAuth2Config, OAuth2Credentials
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import SdsSecretConfig, Secret
from envoy.type.matcher.v3.path_pb2 import PathMatcher
from envoy.type.matcher.v3.regex_pb2 import RegexMatcher
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BoolValue

from apps.control_plane.model import World
from apps.control_plane.resources import issuer, secrets
from apps.control_plane.resources.feature import Feature
from apps.control_plane.resources.protos import over_ads, pack
from model.contract import LOGIN_CALLBACK, LOGIN_LOGOUT
from model.edge import LoginSpec, RouteSpec

NAME = "envoy.filters.http.oauth2"
CLIENT_SECRET = "login-client-secret"
COOKIE_KEY = "login-cookie-key"
RETURN_NAME = "mesh.login_return"
NOT_BY_HAND = "a login ends here; nothing else does\n"
_OWN_HOST = """
function envoy_on_request(request)
  request:streamInfo():dynamicMetadata():set("{name}", "authority", request:headers():get(":authority"))
end
function envoy_on_response(response)
  local seen, location = response:streamInfo():dynamicMetadata():get("{name}"), response:headers():get("location")
  local own = "https://" .. seen["authority"] .. "/"
  if location and location:sub(1, #own) ~= own then
    response:headers():replace("location", own)
  end
end
"""


class Login(Feature):
    """Routes with `auth: login`; while the issuer or the secrets are not known, jwt_authn alone guards them.

    The state that comes back from the issuer says where to go on, and Envoy believes it to whoever has the browser's
    nonce; a login ends at the host where it began all the same.
    """

    def filters(self, world: World) -> Iterable[HttpFilter]:
        if config := _config(world):
            source = DataSource(inline_string=_OWN_HOST.replace("{name}", RETURN_NAME))
            yield HttpFilter(name=RETURN_NAME, typed_config=pack(Lua(default_source_code=source)), disabled=True)
            yield HttpFilter(name=NAME, typed_config=pack(OAuth2(config=config)), disabled=True)

    def of_route(self, world: World, service: str, route: RouteSpec) -> Mapping[str, Message]:
        return {NAME: _enabled()} if route.auth == "login" and _config(world) else {}

    def routes(self, world: World) -> Iterable[Route]:
        if _config(world):
            for path in (LOGIN_CALLBACK, LOGIN_LOGOUT):
                answer = DirectResponseAction(status=404, body=DataSource(inline_string=NOT_BY_HAND))
                route = Route(name=path, match=RouteMatch(path=path), direct_response=answer)
                route.typed_per_filter_config[NAME].CopyFrom(pack(_enabled()))
                if path == LOGIN_CALLBACK:
                    route.typed_per_filter_config[RETURN_NAME].CopyFrom(pack(_enabled()))
                yield route

    def secrets(self, world: World) -> Iterable[Secret]:
        if _config(world) and world.login_secrets:
            yield secrets.text(CLIENT_SECRET, world.login_secrets.client_secret)
            yield secrets.text(COOKIE_KEY, world.login_secrets.cookie_key)


def _config(world: World) -> OAuth2Config | None:
    auth, endpoints = world.spec.edge.auth, issuer.endpoints_of(world)
    if not (auth and auth.login and endpoints and endpoints.authorization and endpoints.token and world.login_secrets):
        return None
    return OAuth2Config(
        token_endpoint=issuer.uri(endpoints.token),
        authorization_endpoint=endpoints.authorization,
        end_session_endpoint=endpoints.end_session if "openid" in auth.login.scopes else "",
        credentials=OAuth2Credentials(
            client_id=auth.login.client_id,
            token_secret=SdsSecretConfig(name=CLIENT_SECRET, sds_config=over_ads()),
            hmac_secret=SdsSecretConfig(name=COOKIE_KEY, sds_config=over_ads()),
        ),
        redirect_uri=f"https://%REQ(:authority)%{LOGIN_CALLBACK}",
        redirect_path_matcher=_path(LOGIN_CALLBACK),
        signout_path=_path(LOGIN_LOGOUT),
        forward_bearer_token=True,
        pass_through_matcher=[HeaderMatcher(name="authorization", string_match=StringMatcher(prefix="Bearer "))],
        deny_redirect_matcher=list(_who_is_not_sent_to_log_in(auth.login)),
        auth_scopes=list(auth.login.scopes),
        use_refresh_token=BoolValue(value=True),
        cookie_configs=_cookies(),
    )


def _who_is_not_sent_to_log_in(login: LoginSpec) -> Iterable[HeaderMatcher]:
    """Clients that are no page of a browser get 401: what asks for no HTML, scripts, and what a redirect would not repeat."""
    html = StringMatcher(contains="text/html", ignore_case=True)
    yield HeaderMatcher(name="accept", string_match=html, invert_match=True, treat_missing_header_as_empty=True)
    yield HeaderMatcher(name="x-requested-with", present_match=True)
    reading = StringMatcher(safe_regex=RegexMatcher(regex="GET|HEAD"))
    yield HeaderMatcher(name=":method", string_match=reading, invert_match=True)
    if login.redirect_domains:
        domains = "|".join(domain.replace(".", "[.]") for domain in login.redirect_domains)
        allowed = StringMatcher(safe_regex=RegexMatcher(regex=f"({domains})(:[0-9]+)?"))
        yield HeaderMatcher(name=":authority", string_match=allowed, invert_match=True)


def _cookies() -> CookieConfigs:
    """No cookie goes along with another site's form or script; a link and the issuer's redirect do bring them."""
    lax = CookieConfig(same_site=CookieConfig.LAX)
    return CookieConfigs(**{field.name: lax for field in CookieConfigs.DESCRIPTOR.fields})


def _path(path: str) -> PathMatcher:
    return PathMatcher(path=StringMatcher(exact=path))


def _enabled() -> FilterConfig:
    return FilterConfig(config=Any(), disabled=False)
