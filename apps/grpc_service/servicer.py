"""The sample gRPC service's methods; see `apps/protos/info.proto`."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import psycopg2

from apps.common.database import Database
from apps.common.machine import Machine, machines_passed
from apps.protos import info_pb2, info_pb2_grpc

DEFAULT_COUNT = 3
MAX_COUNT = 100
MAX_INTERVAL_MS = 10_000

Context = grpc.aio.ServicerContext[Any, Any]


class Info(info_pb2_grpc.InfoServicer):
    """Answers with the machine's facts; `Query` needs a database."""

    def __init__(self, machine: Machine, database: Database | None) -> None:
        self._machine = machine
        self._database = database

    async def Get(self, request: info_pb2.InfoRequest, context: Context) -> info_pb2.InfoReply:
        """One answer."""
        return self._reply(_metadata(context))

    async def Watch(self, request: info_pb2.WatchRequest, context: Context) -> AsyncIterator[info_pb2.InfoReply]:
        """`count` answers, `interval_ms` apart; INVALID_ARGUMENT outside of the proto's bounds."""
        count = request.count or DEFAULT_COUNT
        if not 1 <= count <= MAX_COUNT:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"count {count} is not within 1 to {MAX_COUNT}")
        if not 0 <= request.interval_ms <= MAX_INTERVAL_MS:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"interval_ms {request.interval_ms} is not within 0 to {MAX_INTERVAL_MS}")
        metadata = _metadata(context)
        for sequence in range(1, count + 1):
            yield self._reply(metadata, sequence=sequence)
            if sequence < count:
                await asyncio.sleep(request.interval_ms / 1000)

    async def Query(self, request: info_pb2.InfoRequest, context: Context) -> info_pb2.InfoReply:
        """One answer with the database's version; FAILED_PRECONDITION without `postgres` in the calls, UNAVAILABLE while it is away."""
        if self._database is None:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{self._machine.service} has no `postgres` in its calls")
        try:
            version = await asyncio.to_thread(self._database.run, _version)
        except psycopg2.Error as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"the database was not reached: {str(error).strip()}")
        return self._reply(_metadata(context), database_version=version)

    def _reply(self, metadata: Mapping[str, str], **more: Any) -> info_pb2.InfoReply:
        machine = self._machine
        return info_pb2.InfoReply(
            service=machine.service,
            instance_id=machine.instance_id,
            zone=machine.zone,
            address=machine.address,
            request_id=metadata.get("x-request-id", ""),
            via=machines_passed(metadata),
            **more,
        )


def _metadata(context: Context) -> dict[str, str]:
    return {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}


def _version(cursor: Any) -> str:
    cursor.execute("SELECT version()")
    (version,) = cursor.fetchone()
    return str(version)
