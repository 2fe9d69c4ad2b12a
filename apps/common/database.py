"""A small pool of Postgres connections that outlives a restart of the database.

psycopg2's own pool closes connections that other threads hold when it is emptied, so after a restart one failure
would spread; here only idle ones are thrown away.
"""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg2

from apps.common.machine import Postgres

CONNECT_TIMEOUT_SECONDS = 3
POOL_SIZE = 5

Result = TypeVar("Result")


class Database:
    """Runs work on pooled connections; a connection that broke is dropped and the work is tried once more on a new one."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._slots = threading.BoundedSemaphore(POOL_SIZE)
        self._lock = threading.Lock()
        self._idle: list[Any] = []

    def run(self, work: Callable[[Any], Result]) -> Result:
        """What `work(cursor)` returns, in a transaction; `work` must be safe to run twice.

        Waits for a free connection. Raises psycopg2.Error when the database cannot be reached twice in a row.
        """
        with self._slots:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            try:
                return self._once(work, connection)
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                self.close()
                return self._once(work, None)

    def close(self) -> None:
        """Closes idle connections; those in use end with their work."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _once(self, work: Callable[[Any], Result], connection: Any) -> Result:
        connection = connection or self._connect()
        try:
            with connection, connection.cursor() as cursor:
                result = work(cursor)
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            connection.close()
            raise
        finally:
            if not connection.closed:
                with self._lock:
                    self._idle.append(connection)
        return result

    def _connect(self) -> Any:
        return psycopg2.connect(
            connect_timeout=CONNECT_TIMEOUT_SECONDS, gssencmode="disable", sslmode="disable", **self._postgres.model_dump()
        )
