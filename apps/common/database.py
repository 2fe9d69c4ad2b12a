"""A small pool of Postgres connections that outlives a restart of the database (psycopg2 pool, libpq)."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg2
from psycopg2.pool import ThreadedConnectionPool

from apps.common.machine import Postgres

CONNECT_TIMEOUT_SECONDS = 3
POOL_SIZE = 5

Result = TypeVar("Result")


class Database:
    """Runs work on pooled connections; a connection that broke is dropped and the work is tried once more on a new one."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._pool: ThreadedConnectionPool | None = None
        self._slots = threading.BoundedSemaphore(POOL_SIZE)
        self._lock = threading.Lock()

    def run(self, work: Callable[[Any], Result]) -> Result:
        """What `work(cursor)` returns, in a transaction; `work` must be safe to run twice.

        Waits for a free connection. Raises psycopg2.Error when the database cannot be reached twice in a row.
        """
        with self._slots:
            try:
                return self._once(work)
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                self._forget()
                return self._once(work)

    def close(self) -> None:
        """Closes idle connections; those in use end with their work."""
        self._forget()

    def _once(self, work: Callable[[Any], Result]) -> Result:
        pool = self._connected()
        connection = pool.getconn()
        broken = True
        try:
            with connection, connection.cursor() as cursor:
                result = work(cursor)
            broken = False
            return result
        except psycopg2.Error as error:
            broken = isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
            raise
        finally:
            pool.putconn(connection, close=broken)

    def _connected(self) -> ThreadedConnectionPool:
        with self._lock:
            if self._pool is None:
                options = {"connect_timeout": CONNECT_TIMEOUT_SECONDS, "gssencmode": "disable", "sslmode": "disable"}
                self._pool = ThreadedConnectionPool(0, POOL_SIZE, **options, **self._postgres.model_dump())
                # How many it keeps when they come back; said to the constructor, it would open them all at once.
                self._pool.minconn = POOL_SIZE
            return self._pool

    def _forget(self) -> None:
        with self._lock:
            pool, self._pool = self._pool, None
        if pool:
            pool.closeall()
