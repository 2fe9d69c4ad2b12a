"""A plain moto server for the module, and engines over it."""

import logging
from collections.abc import Callable, Iterator

import pytest
from moto.server import ThreadedMotoServer

from local.provider.clients import Clients
from local.provider.engine import Engine
from local.provider.invokes import INVOKES
from local.provider.table import ROWS

REGION = "eu-central-1"


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def clients(moto_url: str) -> Clients:
    return Clients(moto_url, REGION)


@pytest.fixture
def engine(clients: Clients) -> Engine:
    return Engine(ROWS, INVOKES, clients)


@pytest.fixture
def new_engine(moto_url: str) -> Callable[[], Engine]:
    """A provider process of its own, as far as it remembers anything."""
    return lambda: Engine(ROWS, INVOKES, Clients(moto_url, REGION))
