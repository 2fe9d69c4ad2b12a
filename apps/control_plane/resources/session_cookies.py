"""The cookies of a login are the edge's own. No service sees them: Envoy's filter decrypts the tokens in them in place, on
routes with `login`, and on all others a service that keeps the sealed ones could come back to the edge as their owner.
"""

from collections.abc import Iterable

from envoy.config.core.v3.base_pb2 import DataSource
from envoy.extensions.filters.http.lua.v3.lua_pb2 import Lua
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter

from apps.control_plane.model import World
from apps.control_plane.resources.feature import Feature
from apps.control_plane.resources.protos import pack

NAME = "mesh.session_cookies"
OF_SESSIONS = ("BearerToken", "IdToken", "OauthExpires", "OauthHMAC", "RefreshToken")
OF_FLOWS = ("CodeVerifier", "OauthNonce")
"""Of a login on its way; also with a dot and the flow's id behind."""
_WITHOUT_OURS = """
local session, flow = {{session}}, {{flow}}
function envoy_on_request(request)
  local headers, kept = request:headers(), {}
  for line = 0, headers:getNumValues("cookie") - 1 do
    for pair in headers:getAtIndex("cookie", line):gmatch("[^;]+") do
      local name = pair:match("^%s*([^=%s]*)")
      if not session[name] and not flow[name:match("^[^.]*")] then
        kept[#kept + 1] = pair:match("^%s*(.*)$")
      end
    end
  end
  headers:remove("cookie")
  if #kept > 0 then
    headers:add("cookie", table.concat(kept, "; "))
  end
end
"""


class SessionCookies(Feature):
    """Behind the login, which needs them, and before everything that hands a request on; on every route."""

    def filters(self, world: World) -> Iterable[HttpFilter]:
        if world.spec.edge.auth and world.spec.edge.auth.login:
            source = _WITHOUT_OURS.replace("{session}", _set(OF_SESSIONS)).replace("{flow}", _set(OF_FLOWS))
            yield HttpFilter(name=NAME, typed_config=pack(Lua(default_source_code=DataSource(inline_string=source))))


def _set(names: Iterable[str]) -> str:
    return ", ".join(f"{name} = true" for name in names)
