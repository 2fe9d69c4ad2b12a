"""The issuer's keys at a real edge: away, back, rotated. Acceptance 39."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey

from apps.control_plane.resources import jwt as jwt_feature
from model.contract import Role
from tests.apps.control_plane.resources.key_server import KEY, KeyServer, bearer, edge_of, token

pytestmark = pytest.mark.envoy

HTTP = {"health": {"path": "/health"}, "port": 9080}


@pytest.fixture
def away(spec_of: Any, lab_of: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[KeyServer, httpx.Client]]:
    """An edge that was started while the key server was down, and that looks for new keys each second."""
    monkeypatch.setattr(jwt_feature, "KEYS_LIVE", timedelta(seconds=1))
    server = KeyServer("127.0.0.1")
    server.down, server.keys = True, [KEY]
    lab = lab_of(spec_of(edge=edge_of(server.url), web=HTTP | {"routes": [{"prefix": "/guarded", "auth": "jwt"}, {"prefix": "/open"}]}))
    lab.add(Role.EDGE, "edge")
    lab.add(Role.SERVICE, "web")
    lab.start()
    with lab.client() as client:
        yield server, client
    server.stop()


def test_keys_that_are_away_at_the_start_let_nobody_in_until_they_are_back_and_may_rotate(away: tuple[KeyServer, httpx.Client]) -> None:
    """Acceptance 39."""
    server, client = away

    def status(key: Any = KEY) -> int:
        return client.get("/guarded", headers=bearer(token(key, header={"kid": key.kid}))).status_code

    assert client.get("/open").status_code == 200
    assert status() in (401, 503)
    server.down = False
    until = time.monotonic() + 5
    while status() != 200:
        assert time.monotonic() < until, "valid tokens do not pass after the keys are back"
        time.sleep(0.1)
    asked = server.asked
    assert {status() for _ in range(50)} == {200}
    assert server.asked <= asked + 10, "keys are fetched for each request"

    new = ECKey.generate_key("P-256", {"kid": "k2", "alg": "ES256", "use": "sig"})
    assert status(new) == 401
    server.keys = [KEY, new]
    until, seen = time.monotonic() + 3, set()
    while time.monotonic() < until:
        seen.add(status())
        time.sleep(0.02)
    assert status(new) == 200
    server.down = True
    until = time.monotonic() + 2
    while time.monotonic() < until:
        seen |= {status(), status(new)}
        time.sleep(0.02)
    assert seen == {200}, "a rotation with overlap, or keys that are away later, cost a good token its way"
