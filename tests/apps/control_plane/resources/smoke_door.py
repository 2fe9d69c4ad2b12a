"""A lab's edge as `./mesh smoke` asks it."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from cli.smoke_door import Door
from cli.trust import Trust


@asynccontextmanager
async def door_of(lab: Any) -> AsyncIterator[Door]:
    """The first edge, asked by its address."""
    url, ca = f"https://{lab.endpoints[0].address}:{lab.spec.edge.https}", str(lab.directory / "ca.pem")
    async with httpx.AsyncClient(base_url=url, verify=ssl.create_default_context(cafile=ca)) as client:
        yield Door(edge=url, domain="", host="", client=client, front=["edge"], trust=Trust(ca=ca, edge=lab.spec.edge))
