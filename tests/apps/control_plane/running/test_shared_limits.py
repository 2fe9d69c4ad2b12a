"""A total over all edges, over ADS: the control plane tells a real edge how many edges there are, and its share follows."""

from typing import Any

import httpx
import pytest
import yaml

pytestmark = pytest.mark.envoy

TOTAL = 8
ABSENT = ["127.254.254.1", "127.254.254.2", "127.254.254.3"]
"""Edges that only discovery knows of; an edge counts the others, it does not speak to them."""


def test_an_edges_share_follows_the_edges_that_discovery_sees(mesh: Any) -> None:
    document = yaml.safe_load((mesh.directory / "mesh.yaml").read_text())
    limits = [{"requests": TOTAL, "per": "60m", "by": "mesh"}]
    document["services"]["web"]["routes"] += [{"prefix": f"/shared{n}", "rateLimits": limits} for n in range(3)]
    # Without a limit: it shows that the document has arrived.
    document["services"]["web"]["routes"].append({"prefix": "/probe"})
    mesh.write("mesh.yaml", document)
    admin = f"http://{mesh.edge}:9901/stats?filter=mesh-local.membership_total"
    with mesh.client() as client:
        mesh.wait_for(lambda: client.get("/probe/info").status_code == 200)
        for step, (others, share) in enumerate([(0, TOTAL), (1, TOTAL // 2), (3, TOTAL // 4)]):
            edges = [{"address": address} for address in (mesh.edge, *ABSENT[:others])]
            mesh.write("endpoints.yaml", {"edge": edges, "web": [{"address": mesh.one, "id": "one"}]})
            took = mesh.wait_for(lambda edges=edges: httpx.get(admin).text.strip().endswith(f": {len(edges)}"))
            with mesh.client() as fresh:
                answers = [fresh.get(f"/shared{step}/info").status_code for _ in range(TOTAL + 2)]
            assert answers == [200] * share + [429] * (TOTAL + 2 - share)
            print(f"{len(edges)} edges known after {took:.2f} s")
            assert took < 3


def test_a_new_limit_holds_for_open_connections_too(mesh: Any) -> None:
    """Else a client would go round a new limit, or a new need for a token, for as long as its connection lasts."""
    document = yaml.safe_load((mesh.directory / "mesh.yaml").read_text())
    document["services"]["web"]["routes"][0]["rateLimits"] = [{"requests": 1, "per": "60m"}]
    with mesh.client() as client:
        assert client.get("/web/info").status_code == 200
        mesh.write("mesh.yaml", document)
        with mesh.client() as fresh:
            mesh.wait_for(lambda: fresh.get("/web/info").headers.get("connection") == "close" or fresh.get("/web/info").status_code == 429)
        passed = 0
        while client.get("/web/info").status_code == 200:
            passed += 1
            assert passed <= 2, "one answer on the old connection, one from the bucket"
