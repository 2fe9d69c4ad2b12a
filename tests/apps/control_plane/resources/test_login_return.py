"""A login ends at the host where it began: where the filter stands that sees to it. That it does, tests/attacks shows."""

from typing import Any

from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpConnectionManager

from apps.control_plane import type_urls
from apps.control_plane.build import resources_for
from apps.control_plane.model import Issuer, LoginSecrets, World
from apps.control_plane.resources import login
from model.contract import LOGIN_CALLBACK, LOGIN_LOGOUT, Role

ISSUER = "https://login.example.com"


def test_it_sees_what_the_login_answers_on_the_way_back_and_nothing_else(spec_of: Any, node_of: Any, key_pair: Any) -> None:
    """A logout may well lead to another host: the issuer's, which ends the session there."""
    auth = {"issuer": ISSUER, "audiences": ["mesh"], "login": {"clientId": "edge", "clientSecret": "/team/oauth-secret"}}
    spec = spec_of(edge={"auth": auth}, web={"routes": [{"prefix": "/a", "auth": "login"}]})
    found = Issuer(issuer=ISSUER, jwks_uri=f"{ISSUER}/jwks", authorization_endpoint=f"{ISSUER}/a", token_endpoint=f"{ISSUER}/t")
    secrets = LoginSecrets(client_secret="c", cookie_key="k")
    world = World(spec=spec, stack="t", edge_tls=key_pair(), issuer=found, login_secrets=secrets)
    built: Any = resources_for(world, node_of(Role.EDGE, "edge"))
    manager = HttpConnectionManager.FromString(built[type_urls.LISTENER]["edge-https"].filter_chains[0].filters[0].typed_config.value)
    names = [item.name for item in manager.http_filters]
    assert names.index(login.RETURN_NAME) < names.index(login.NAME), "answers pass the filters the other way round"
    assert manager.http_filters[names.index(login.RETURN_NAME)].disabled
    routes = {route.name: route for route in built[type_urls.ROUTE]["edge"].virtual_hosts[0].routes}
    assert {name for name, route in routes.items() if login.RETURN_NAME in route.typed_per_filter_config} == {LOGIN_CALLBACK}
    assert login.NAME in routes[LOGIN_LOGOUT].typed_per_filter_config
