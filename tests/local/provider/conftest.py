"""A plain moto server for the module, and engines over it."""

from collections.abc import Callable, Iterator

import pytest

from local.provider.clients import Clients
from local.provider.engine import Engine
from local.provider.invokes import INVOKES
from local.provider.table import ROWS
from tests.servers import plain_moto

REGION = "eu-central-1"


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    with plain_moto() as url:
        yield url


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
